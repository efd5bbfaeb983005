//! The job's environment and arguments, as the job gets them.
//!
//! Paths of the scratch directory become those of the sandbox, in every variable and argument that
//! contains one as a whole path or at its beginning.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use wire::launch;

/// Variables that are the batch system's own.
const DROPPED: [&[u8]; 2] = [b"_CONDOR_WRAPPER_ERROR_FILE", b"CONDOR_INHERIT"];

/// The beginnings of such variables.
const DROPPED_PREFIXES: [&[u8]; 4] =
    [b"_CONDOR_ANCESTOR_", b"CONDOR_PRIVATE", b"GLEXEC", b"_GLEXEC"];

/// The scratch directory's paths, and the one that takes their place.
#[derive(Debug)]
pub struct Paths<'a> {
    /// The paths of the scratch directory; the longest first.
    pub from: &'a [PathBuf],
    /// The path of the sandbox.
    pub to: &'a Path,
}

/// The variables as `NAME=VALUE`, and that the job gets none of gLExec's. HOME is the sandbox: on
/// HTCondor 25 it is the pilot's.
pub fn variables(job: &[(OsString, OsString)], paths: &Paths<'_>) -> Vec<Vec<u8>> {
    let is_kept = |name: &[u8]| {
        !name.is_empty()
            && name != b"HOME"
            && !DROPPED.contains(&name)
            && !DROPPED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let kept = job.iter().filter(|(name, _)| is_kept(name.as_bytes()));
    let home = [b"HOME=", paths.to.as_os_str().as_bytes()].concat();
    let pair = |(name, value): &(OsString, OsString)| {
        [name.as_bytes(), b"=", &paths.rewritten(value.as_bytes())].concat()
    };
    kept.map(pair).chain([home, launch::without_variables_of_glexec()]).collect()
}

/// The job's program and its arguments.
pub fn arguments(job: &[OsString], paths: &Paths<'_>) -> Vec<OsString> {
    job.iter().map(|word| OsString::from_vec(paths.rewritten(word.as_bytes()))).collect()
}

impl Paths<'_> {
    /// Replaces each path of the scratch directory that is a path by itself, or the beginning of
    /// one.
    fn rewritten(&self, text: &[u8]) -> Vec<u8> {
        let mut result = Vec::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let before = result.last().copied().filter(|_| rest.len() < text.len());
            let matched = self.from.iter().map(|from| from.as_os_str().as_bytes()).find(|from| {
                let may_begin = before.is_none_or(|byte| !is_of_name(byte) && byte != b'/');
                let after = rest.strip_prefix(*from).map(|after| after.first().copied());
                may_begin && after.is_some_and(|byte| byte.is_none_or(|byte| !is_of_name(byte)))
            });
            match matched {
                Some(from) => {
                    result.extend_from_slice(self.to.as_os_str().as_bytes());
                    rest = &rest[from.len()..];
                }
                None => {
                    result.push(rest[0]);
                    rest = &rest[1..];
                }
            }
        }
        result
    }
}

/// Whether a byte continues the name of a file.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"._-~+".contains(&byte)
}

/// The value of a variable of the job's.
pub fn value<'a>(job: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsStr> {
    job.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let from = [PathBuf::from("/x/execute/dir_7")];
        let paths = Paths { from: &from, to: Path::new("/s/work") };
        String::from_utf8_lossy(&paths.rewritten(text.as_bytes())).into_owned()
    }

    #[test]
    fn whole_paths_are_rewritten_and_parts_of_others_are_not() {
        for (text, expected) in [
            ("/x/execute/dir_7", "/s/work"),
            ("/x/execute/dir_7/a", "/s/work/a"),
            ("--in=/x/execute/dir_7/a:/x/execute/dir_7", "--in=/s/work/a:/s/work"),
            ("/x/execute/dir_77", "/x/execute/dir_77"),
            ("/y/x/execute/dir_7", "/y/x/execute/dir_7"),
            ("//x/execute/dir_7", "//x/execute/dir_7"),
            ("", ""),
        ] {
            assert_eq!(rewritten(text), expected, "{text}");
        }
    }

    #[test]
    fn the_batch_systems_variables_are_dropped() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let job = [
            pair("_CONDOR_ANCESTOR_7", "x"),
            pair("_CONDOR_SCRATCH_DIR", "/x/execute/dir_7"),
            pair("GLEXEC_HELPERS_LOG", "/etc/passwd"),
            pair("CONDOR_PRIVATE_INHERIT", "x"),
            pair("HOME", "/home/pilot"),
            pair("ODD", "a=b\n"),
        ];
        let from = [PathBuf::from("/x/execute/dir_7")];
        let paths = Paths { from: &from, to: Path::new("/s/work") };
        let expected: [&[u8]; 3] = [b"_CONDOR_SCRATCH_DIR=/s/work", b"ODD=a=b\n", b"HOME=/s/work"];
        let mut found = variables(&job, &paths);
        assert!(launch::take_without_variables_of_glexec(&mut found));
        assert_eq!(found, expected);
    }
}
