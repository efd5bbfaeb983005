//! `condor_glexec_run`

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;

use super::{Exit, log};
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;
use crate::batch::{Report, run};

/// The command's definition.
pub fn definition() -> clap::Command {
    super::define_with_rest(
        "condor_glexec_run",
        "Runs a job as the job user, in a sandbox that condor_glexec_setup has handed over.",
        "\
Arguments:
  <glexec>   the identity switcher; this program becomes it (same process)
  <proxy>    the file name of the credential that setup kept in <sandbox>.condor
  <sandbox>  the absolute path of the directory, the job's working directory
  <wrapper>  the absolute path of condor_glexec_job_wrapper, which the switcher
             leads to, and which becomes the job
  <stdin> <stdout> <stderr>
             a file's name for each, or - for a descriptor that the starter
             passes over the socket on descriptor 0
  <cmd>      the job's program, and its arguments: nothing after it is parsed

Exit status: the switcher's, and so the job's; 1 usage; 126 the switcher could
not be executed; 127 it was not found.",
        &["glexec", "proxy", "sandbox", "wrapper", "stdin", "stdout", "stderr", "cmd"],
    )
}

/// Runs the command.
pub fn main() -> ExitCode {
    super::command(definition(), run)
}

fn run(words: Vec<OsString>, report: &mut Report<'_>) -> Result<(), Exit> {
    let [glexec, proxy, sandbox, wrapper, arguments @ ..] = &words[..] else {
        return Err(anyhow!("too few arguments").into());
    };
    let sandbox = Sandbox::find(Path::new(sandbox), proxy)?;
    report.about = sandbox.path();
    let switcher = Switcher::new(glexec, sandbox.credential(), Duration::ZERO);
    let switcher = switcher.map_err(run::Failure::from_switcher)?;
    report.request = sandbox.request();
    // There is nobody to write it afterwards.
    let operation = log::Operation {
        helper: "condor_glexec_run",
        report,
        took: Duration::ZERO,
        status: None,
        error: None,
    };
    if let Err(warning) = log::write(&operation) {
        command::say("condor_glexec_run", warning);
    }
    Err(run::run(&sandbox, &switcher, wrapper, arguments).into())
}
