//! `condor_glexec_job_wrapper`: stands between the switcher and the job, and becomes the job.

use std::ffi::OsString;
use std::process::ExitCode;

use command::program::{Program, VERSION, print};
use command::{Call, say};

use crate::wrapper::{self, Job};

/// What the program is called with.
pub const PROGRAM: Program = Program {
    name: "condor_glexec_job_wrapper",
    about: "Takes the job's environment and standard streams from the starter, and becomes the job.",
    arguments: "<stdin> <stdout> <stderr> <cmd> [arg…]",
    options: &[VERSION],
    text: "\
The switcher executes it as the job user, in the sandbox; descriptor 0 is the
starter's socket. It is not meant to be called by hand.

Arguments:
  <stdin> <stdout> <stderr>
             a file's name for each, or - for a descriptor from the starter
  <cmd>      the job's program, and its arguments: nothing after it is parsed

Since <stdin> may be any name, --help and --version are options only where fewer
than four arguments are given.

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
    let failure = wrapper::start(job);
    // The starter has been told of it, and standard error is already the job's.
    if !matches!(failure, wrapper::Failure::Execute { .. }) {
        say(PROGRAM.name, failure);
    }
    ExitCode::FAILURE
}

/// Fewer words than a job needs: an option, or a usage error.
fn without_job(words: Vec<OsString>) -> ExitCode {
    let error = match PROGRAM.read(words) {
        Ok(Call::Help) => {
            print(&PROGRAM.help());
            return ExitCode::SUCCESS;
        }
        Ok(Call::Option(_)) => {
            print(&PROGRAM.version());
            return ExitCode::SUCCESS;
        }
        Ok(Call::Words { .. }) => format!("too few arguments; {}", PROGRAM.usage()),
        Err(error) => error,
    };
    say(PROGRAM.name, error);
    ExitCode::FAILURE
}
