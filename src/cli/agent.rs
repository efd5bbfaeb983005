//! `condor_glexec_agent`, which only the other programs call.

use std::ffi::OsString;
use std::process::ExitCode;

use super::Status;
use crate::job::agent;

/// Runs the command. Its exit status is never one that a switcher uses for itself.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match agent::run(&arguments) {
        Ok(()) => Status::Success.into(),
        Err(error) => {
            super::say("condor_glexec_agent", error);
            Status::BadInput.into()
        }
    }
}
