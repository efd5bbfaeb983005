//! `condor_glexec_agent`, which only the other programs call.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use super::Status;
use crate::job::agent;

/// What `--help` prints.
pub const HELP: &str = "\
Does the work of the other programs as the job user.

Usage: condor_glexec_agent <errand> [arg…]
       condor_glexec_agent -h | -V

Options:
  -h, --help     Print help
  -V, --version  Print the version

The helpers execute it through the identity switcher: it builds and removes
the job user's copy of a sandbox, enters it and becomes the job's wrapper, and
finds and signals the job's processes. It is not meant to be called by hand. It
refuses to run as root.

It must lie beside the other programs, where the job user can execute it, and
nobody but root should be able to read it (mode 0711): who can't read a program
can't trace it either. It is the one program that a sudo rule has to name.

Exit status: 0; 1 for everything else.
";

/// Runs the command. Its exit status is never one that a switcher uses for itself.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let said = match arguments.first().and_then(|word| word.to_str()) {
        Some("-h" | "--help") => Some(HELP.to_owned()),
        Some("-V" | "--version") => Some(format!("condor_glexec_agent {}\n", env!("CARGO_PKG_VERSION"))),
        _ => None,
    };
    if let Some(said) = said {
        let _ = std::io::stdout().write_all(said.as_bytes());
        return Status::Success.into();
    }
    match agent::run(&arguments) {
        Ok(()) => Status::Success.into(),
        Err(error) => {
            super::say("condor_glexec_agent", error);
            Status::BadInput.into()
        }
    }
}
