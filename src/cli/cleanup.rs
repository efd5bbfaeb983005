//! `condor_glexec_cleanup`

use std::process::ExitCode;

use clap::ArgMatches;

use super::definition::{self, HANDOVER, IDLE_TIMEOUT, LINKS, LOG, RETRIES};
use super::hand_over::{self, HandOver};
use super::helper::{self, HelperCall};
use super::{environment, notice};
use crate::batch::Report;
use crate::batch::cleanup::{self, Policy};
use crate::batch::error::{HelperError, HelperStatus};

/// The command's definition.
pub fn definition() -> clap::Command {
    definition::helper(
        "condor_glexec_cleanup",
        "Brings the files of a sandbox back to the batch user after a job.",
        format!(
            "\
The batch user calls this program when the job has ended. It also completes a
setup or cleanup that was interrupted. A second call changes nothing.

Arguments:
  <glexec>       the identity switcher that setup was called with
  <proxy>        the file name of the credential that setup was called with
  <sandbox>      the absolute path of the sandbox
{RETRIES}
Afterwards, <sandbox> belongs to the batch user and contains the files of the
job. It contains the retained proxy instead of the job's file of that name.
<sandbox>.condor does not exist any more. If cleanup fails, the files are where
they were, and another call of cleanup completes the work.

Exit status:
  0  the batch user has the sandbox
  1  usage error, bad input, or any failure

Environment:
  GLEXEC_HELPERS_CLEANUP
          which processes are killed before the files come back: 'files' kills
          none; 'family' kills all processes that carry the job's mark (the
          variable _GLEXEC_HELPERS_FAMILY) in their environment; 'account' kills
          all processes of the job user, and is only for accounts that have one
          job at a time (default: files)
{LINKS}{HANDOVER}{IDLE_TIMEOUT}{LOG}
Example:
  condor_glexec_cleanup /usr/sbin/glexec proxy /scratch/dir_1 3 5
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
    let result = clean_up(&call.matches, &mut report)
        .map_err(|failure| failure.with_status(HelperStatus::BadInput));
    call.end(&report, result)
}

fn clean_up(matches: &ArgMatches, report: &mut Report<'_>) -> Result<(), HelperError> {
    let HandOver { sandbox, switcher, retries } = HandOver::from_arguments(matches)?;
    report.about = sandbox.path();
    let policy = Policy {
        links: environment::links()?,
        kills: environment::killed_by_cleanup()?,
        closes_top: false,
    };
    let returned = cleanup::cleanup(None, &sandbox, &switcher, retries, policy, report)?;
    Ok(returned.require_files(&sandbox)?)
}
