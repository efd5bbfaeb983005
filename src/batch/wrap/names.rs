//! Which entries of a scratch directory are the job's.

use crate::batch::pilot::{CREDENTIAL, PROXY};

/// The directory in the scratch directory in which entries are moved.
pub const PASSAGE: &str = ".glexec_passage";

/// The directory with the OAuth tokens that a job has asked for (`_CONDOR_CREDS`).
pub const CREDENTIALS: &str = ".condor_creds";

/// What becomes of an entry of the scratch directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is the job's: it goes to the job and comes back.
    Moved,
    /// It is the starter's, and the job reads it: the job gets a copy, which does not come back.
    Copied,
    /// It is the starter's alone. One that the job makes does not come back.
    Kept,
}

/// What becomes of the entry with this name; `proxy` is the name of the job's proxy.
pub fn fate(name: &[u8], proxy: Option<&[u8]>) -> Fate {
    const COPIED: [&[u8]; 4] =
        [b".job.ad", b".machine.ad", b".chirp.config", CREDENTIALS.as_bytes()];
    const KEPT: [&[u8]; 4] = [
        b".job_wrapper_failure",
        b".condor_container_launched",
        CREDENTIAL.as_bytes(),
        PROXY.as_bytes(),
    ];
    const KEPT_PREFIXES: [&[u8]; 6] = [
        b".update.ad",
        b"_condor_std",
        b".docker_",
        b".condor_ssh_to_job",
        b".condor_creds.gh.",
        PASSAGE.as_bytes(),
    ];
    if COPIED.contains(&name) || proxy == Some(name) {
        Fate::Copied
    } else if KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        Fate::Kept
    } else {
        Fate::Moved
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate, fate};

    #[test]
    fn the_starters_files_stay_with_the_starter() {
        for name in [".update.ad", ".update.ad.tmp", ".job_wrapper_failure", "_condor_stdout"] {
            assert_eq!(fate(name.as_bytes(), None), Fate::Kept, "{name}");
        }
        assert_eq!(fate(b".job.ad", None), Fate::Copied);
        assert_eq!(fate(b"proxy", Some(b"proxy")), Fate::Copied);
        for name in ["condor_exec.exe", ".job.ad2", "_condor", "tmp", "var"] {
            assert_eq!(fate(name.as_bytes(), None), Fate::Moved, "{name}");
        }
    }
}
