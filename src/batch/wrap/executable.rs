//! Whether a job can be executed at all, before it is: HTCondor holds a job whose program its
//! starter cannot execute, but a wrapper can only end.
//!
//! What is not certain is left to the execution.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use error::Shown;

use super::ad;

/// The vanilla universe, whose jobs are programs.
const VANILLA: &str = "5";

/// Where the kernel lists further formats of programs (binfmt_misc).
const FORMATS: &str = "/proc/sys/fs/binfmt_misc";

/// Why the job with this ClassAd cannot be executed, as one line; none if nothing is known against
/// it. Its files are in `scratch`.
pub fn why_not(job: &[u8], scratch: &Path) -> Option<String> {
    let is_in_image = ["ContainerImage", "DockerImage", "SingularityImage"]
        .iter()
        .any(|image| ad::value(job, image).is_some());
    if is_in_image || ad::value(job, "JobUniverse") != Some(VANILLA) {
        return None;
    }
    let command = Path::new(ad::string(job, "Cmd")?);
    let is_transferred =
        !ad::value(job, "TransferExecutable").is_some_and(|is| is.eq_ignore_ascii_case("false"));
    let program = if is_transferred {
        let names = [command.file_name()?.to_owned(), "condor_exec.exe".into()];
        names.iter().map(|name| scratch.join(name)).find(|path| path.exists())?
    } else {
        PathBuf::from(command)
    };
    if !program.is_absolute() {
        return None;
    }
    let why = why_not_program(&program, is_transferred)?;
    Some(format!("{} cannot be executed: {why}", Shown::os(command)))
}

/// The starter gives a transferred program the right to be executed.
fn why_not_program(program: &Path, is_transferred: bool) -> Option<String> {
    let found = match std::fs::metadata(program) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some("there is no such file".to_owned());
        }
        Err(_) => return None,
        Ok(found) => found,
    };
    if !found.is_file() {
        return Some("it is not a regular file".to_owned());
    }
    if !is_transferred && found.mode() & 0o111 == 0 {
        return Some("no user has the right to execute it".to_owned());
    }
    let mut start = Vec::new();
    File::open(program).ok()?.take(256).read_to_end(&mut start).ok()?;
    if start.starts_with(b"\x7fELF") {
        return None;
    }
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
        let interpreter = line.split(|byte| matches!(byte, b' ' | b'\t')).next()?;
        let path = Path::new(std::ffi::OsStr::from_bytes(interpreter));
        let is_missing = path.is_absolute() && !path.exists();
        return is_missing
            .then(|| format!("its interpreter {} does not exist", Shown(interpreter)));
    }
    let has_other_formats =
        std::fs::read_dir(FORMATS).map_or(0, |entries| entries.flatten().count()).saturating_sub(2)
            > 0;
    (!has_other_formats)
        .then(|| "it is neither a program nor a script that begins with #!".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(program: Option<&[u8]>, ad: &str) -> anyhow::Result<Option<String>> {
        let scratch = tempfile::tempdir()?;
        if let Some(content) = program {
            std::fs::write(scratch.path().join("job"), content)?;
        }
        Ok(why_not(ad.as_bytes(), scratch.path()))
    }

    #[test]
    fn what_cannot_be_executed_is_told_and_what_is_uncertain_is_not() -> anyhow::Result<()> {
        let own = "JobUniverse = 5\nCmd = \"/home/a/job\"\n";
        let tells = |program: &[u8], why: &str| -> anyhow::Result<()> {
            let found = held(Some(program), own)?.unwrap_or_default();
            assert!(found.contains(why) && found.starts_with("/home/a/job"), "{found}");
            Ok(())
        };
        tells(b"#!/nonexistent/sh\n", "its interpreter /nonexistent/sh does not exist")?;
        for runs in [&b"#!/bin/sh\n"[..], b"#! /bin/sh -e\n", b"\x7fELF\x02"] {
            assert_eq!(held(Some(runs), own)?, None);
        }
        assert_eq!(held(None, own)?, None, "it may be elsewhere");
        let on_node = "JobUniverse = 5\nCmd = \"/nonexistent\"\nTransferExecutable = false\n";
        assert!(held(None, on_node)?.is_some_and(|why| why.ends_with("no such file")));
        let in_image = format!("{on_node}ContainerImage = \"a.sif\"\n");
        assert_eq!(held(None, &in_image)?, None);
        assert_eq!(held(None, "JobUniverse = 10\nCmd = \"/nonexistent\"\n")?, None);
        Ok(())
    }
}
