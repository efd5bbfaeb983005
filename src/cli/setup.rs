//! `condor_glexec_setup`

use std::process::ExitCode;

use clap::ArgMatches;

use super::definition::{self, HANDOVER, IDLE_TIMEOUT, LOG, RETRIES};
use super::hand_over::{self, HandOver};
use super::helper::{self, HelperCall};
use super::notice;
use crate::batch::error::HelperError;
use crate::batch::{Report, setup};

/// The command's definition.
pub fn definition() -> clap::Command {
    definition::helper(
        "condor_glexec_setup",
        "Gives a sandbox to the job user before a job, and retains the credential.",
        format!(
            "\
The batch user (the account of the batch system's daemons) calls this program,
for example through HTCondor's starter. It needs no root privileges. It calls an
identity switcher, which runs condor_glexec_agent as the job user (the account
that the credential maps to). The agent copies the sandbox (the job's working
directory), so that the job user owns all files. The glexec of this project can
change the owner of the files instead.

Arguments:
  <glexec>       the identity switcher: a program that runs a command as the
                 user that the credential named by GLEXEC_CLIENT_CERT maps to
  <proxy>        the file name of the credential, which is in the sandbox
  <sandbox>      the absolute path of a directory that the batch user owns, with
                 the files of the job
{RETRIES}
Afterwards, <sandbox> belongs to the job user and contains all files.
<sandbox>.condor belongs to the batch user and contains only a copy of the
credential (the retained proxy). If setup fails, the sandbox is as it was.

Exit status:
  0  the job user has the sandbox
  1  usage error or bad input; nothing was changed
  2  setup failed, and the same call would fail again
  3  each call of the switcher ended with status 202 or 203

Environment:
{HANDOVER}{IDLE_TIMEOUT}{LOG}
Example:
  condor_glexec_setup /usr/sbin/glexec proxy /scratch/dir_1 3 5
"
        ),
        &hand_over::NAMES,
    )
}

/// Runs the command.
pub fn main() -> ExitCode {
    helper::prepare_to_create_files();
    let call = match HelperCall::start(definition()) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let mut print = notice::print;
    let mut report = Report::new(&mut print);
    let result = set_up(&call.matches, &mut report);
    call.end(&report, result)
}

fn set_up(matches: &ArgMatches, report: &mut Report<'_>) -> Result<(), HelperError> {
    let HandOver { sandbox, switcher, retries } = HandOver::from_arguments(matches)?;
    report.about = sandbox.path();
    setup::setup(&sandbox, &switcher, retries, report)
}
