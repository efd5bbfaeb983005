//! `condor_glexec_run`

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use clap::ArgMatches;

use super::definition::{self, LOG, POSITIONAL};
use super::helper::HelperCall;
use super::{arguments, log, notice};
use crate::batch::error::HelperError;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;
use crate::batch::{Report, run};

const NAME: &str = "condor_glexec_run";

/// The names of the arguments. The last one can be followed by others.
const NAMES: [&str; 8] =
    ["glexec", "proxy", "sandbox", "wrapper", "stdin", "stdout", "stderr", "cmd"];

/// The command's definition.
pub fn definition() -> clap::Command {
    let text = format!(
        "\
A starter calls this program after condor_glexec_setup, as the batch user, with
a socket as descriptor 0. The process of this program becomes the switcher. The
switcher executes condor_glexec_agent as the job user, the agent becomes
<wrapper>, and <wrapper> becomes the job. Over the socket, the wrapper gets the
job's environment from the starter.

Arguments:
  <glexec>   the identity switcher that setup was called with
  <proxy>    the file name of the credential that setup was called with
  <sandbox>  the absolute path of the sandbox, which becomes the job's working
             directory
  <wrapper>  the absolute path of condor_glexec_job_wrapper
  <stdin> <stdout> <stderr>
             for each, the name of a file in the sandbox, or - for a descriptor
             that the starter passes over the socket
  <cmd>      the job's program, followed by its arguments, which are not parsed

Exit status: that of the switcher, and so in general that of the job. If the
switcher was not executed:
  1    usage error or bad input
  126  the switcher cannot be executed
  127  the switcher does not exist

Environment:
{LOG}
Example:
  condor_glexec_run /usr/sbin/glexec proxy /scratch/dir_1 \\
    /usr/libexec/glexec-helpers/condor_glexec_job_wrapper \\
    - out err /bin/sort -n
"
    );
    let usage = definition::bracketed(&NAMES).into_iter().chain(["[arg…]".to_owned()]);
    definition::helper(
        NAME,
        "Runs a job as the job user, in a sandbox that belongs to the job user.",
        text,
        &NAMES,
    )
    .mut_arg(POSITIONAL, |values| values.num_args(NAMES.len()..).value_name("word"))
    .override_usage(definition::usage(NAME, usage))
}

/// Runs the command.
pub fn main() -> ExitCode {
    let call = match HelperCall::start(definition()) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let mut print = notice::print;
    let mut report = Report::new(&mut print);
    let error = become_job(&call.matches, &mut report);
    call.end(&report, Err(error))
}

/// Executes the switcher in the place of this process. Returns only after a failure.
fn become_job(matches: &ArgMatches, report: &mut Report<'_>) -> HelperError {
    let words = arguments::positional(matches);
    let [glexec, proxy, sandbox, wrapper, arguments @ ..] = &words[..] else {
        return anyhow!("there must be {} arguments", NAMES.len()).into();
    };
    let sandbox = match Sandbox::find(Path::new(sandbox), proxy) {
        Ok(sandbox) => sandbox,
        Err(error) => return HelperError::bad_input(error),
    };
    report.about = sandbox.path();
    let switcher = match Switcher::new(glexec, sandbox.credential(), Duration::ZERO) {
        Ok(switcher) => switcher,
        Err(error) => return run::no_switcher(error),
    };
    report.log_id = sandbox.log_id();
    write_start_to_log(report);
    run::run(&sandbox, &switcher, wrapper, arguments)
}

/// Writes the log line before the switcher is executed: afterwards this program does not exist any
/// more.
fn write_start_to_log(report: &Report<'_>) {
    let facts =
        log::Facts { helper: NAME, report, took: Duration::ZERO, status: None, error: None };
    if let Err(warning) = log::write(&facts) {
        command::say(NAME, warning);
    }
}
