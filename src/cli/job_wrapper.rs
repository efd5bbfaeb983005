//! `condor_glexec_job_wrapper`

use std::ffi::OsString;
use std::process::ExitCode;

use super::Status;
use crate::job::wrapper::{self, Job};

/// The command's definition.
pub fn definition() -> clap::Command {
    super::define_with_rest(
        "condor_glexec_job_wrapper",
        "Takes the job's environment and standard streams from the starter, and becomes the job.",
        "\
The switcher executes it as the job user, in the sandbox; descriptor 0 is the
starter's socket. It is not meant to be called by hand.

Arguments:
  <stdin> <stdout> <stderr>
             a file's name for each, or - for a descriptor from the starter
  <cmd>      the job's program, and its arguments: nothing after it is parsed

Since <stdin> may be any name, --help and --version are options only where fewer
than four arguments are given.

Exit status: the job's; 1 if it could not be executed.",
        &["stdin", "stdout", "stderr", "cmd"],
    )
}

/// Runs the command. Between the switcher and the job it does without the parser of options.
pub fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.len() < 4 {
        let definition = definition();
        return match super::parse(definition, std::env::args_os()) {
            Ok(_) => Status::BadInput.into(),
            Err(status) => status,
        };
    }
    let arguments = words.split_off(4);
    let mut fixed = words.into_iter();
    let mut next = || fixed.next().unwrap_or_default();
    let job = Job { streams: [next(), next(), next()], program: next(), arguments };
    let failure = wrapper::start(job);
    // The starter has been told of it, and standard error is the job's by now.
    if !matches!(failure, wrapper::Failure::Execute { .. }) {
        super::say("condor_glexec_job_wrapper", failure);
    }
    Status::BadInput.into()
}
