//! `condor_glexec_job_wrapper`, which runs between the switcher and the job, and becomes the job:
//! its command line.

use std::ffi::OsString;
use std::process::ExitCode;

use command::program::{Program, VERSION};
use command::say;

use super::job::{Failure, Job};

/// The command line and the help.
pub const PROGRAM: Program = Program {
    name: "condor_glexec_job_wrapper",
    about: "Receives the job's environment and standard streams, and becomes the job.",
    arguments: "<stdin> <stdout> <stderr> <cmd> [arg…]",
    operations: &[],
    options: &[VERSION],
    text: "\
condor_glexec_agent executes this program as the job user, in the sandbox.
Descriptor 0 is the starter's socket. Do not call this program by hand.

Arguments:
  <stdin> <stdout> <stderr>
             for each, the name of a file in the sandbox, or - for a descriptor
             from the starter
  <cmd>      the job's program, followed by its arguments, which are not parsed

<stdin> may have any name. So --help and --version are options only if there are
fewer than four arguments.

Exit status: the job's; 1 if it could not be executed.
",
};

/// Runs the command.
pub fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.len() < 4 {
        return without_job(words);
    }
    let arguments = words.split_off(4);
    let mut fixed = words.into_iter();
    let mut next = || fixed.next().unwrap_or_default();
    let job = Job { streams: [next(), next(), next()], program: next(), arguments };
    let failure = job.start();
    // If the execution failed, the starter has the error, and standard error is already the job's.
    if !matches!(failure, Failure::Execute { .. } | Failure::Directory { .. }) {
        say(PROGRAM.name, failure);
    }
    ExitCode::FAILURE
}

/// With fewer arguments than a job needs: an option, or a usage error.
fn without_job(words: Vec<OsString>) -> ExitCode {
    let error = match PROGRAM.read_words(words) {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(_)) => format!("too few arguments; {}", PROGRAM.usage()),
        Err(error) => error,
    };
    say(PROGRAM.name, error);
    ExitCode::FAILURE
}
