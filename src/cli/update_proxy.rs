//! `condor_glexec_update_proxy`

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;

use super::definition::{self, IDLE_TIMEOUT, LOG};
use super::helper::{self, HelperCall};
use super::{arguments, environment, notice};
use crate::batch::error::HelperError;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;
use crate::batch::{Report, update_proxy};

/// The command's definition.
pub fn definition() -> clap::Command {
    definition::helper(
        "condor_glexec_update_proxy",
        "Replaces the credential of a sandbox, also while its job runs.",
        format!(
            "\
The batch user calls this program when it has a new credential. The job's copy
is replaced first, and the retained proxy second. Each is replaced atomically:
a reader gets the old or the new content. If the job's copy cannot be replaced,
the retained proxy is replaced nevertheless.

Arguments:
  <glexec or ->     the identity switcher that setup was called with; with -, no
                    switcher is called, and only the batch user's copy is
                    replaced
  <new-proxy-path>  the file with the new credential. It is removed, even if
                    this program fails; it is not removed after a usage error,
                    or if it is the file to be replaced
  <proxy>           the file name of the credential that setup was called with
  <sandbox>         the absolute path of the sandbox

Exit status:
  0  all copies are replaced
  1  usage error, bad input, or any failure

Environment:
{IDLE_TIMEOUT}{LOG}
Example:
  condor_glexec_update_proxy /usr/sbin/glexec new-proxy proxy /scratch/dir_1
"
        ),
        &["glexec or -", "new-proxy-path", "proxy", "sandbox"],
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
    let result = update(&call.matches, &mut report);
    call.end(&report, result)
}

fn update(matches: &ArgMatches, report: &mut Report<'_>) -> Result<(), HelperError> {
    let [glexec, new, proxy, sandbox] = arguments::exactly(matches)?;
    let new = Path::new(&new);
    let (sandbox, switcher) = find(&glexec, &proxy, &sandbox).inspect_err(|_| {
        update_proxy::remove_new_proxy(new);
    })?;
    report.about = sandbox.path();
    report.log_id = sandbox.log_id();
    let updated = update_proxy::update_proxy(&sandbox, switcher.as_ref(), new);
    updated.map_err(HelperError::bad_input)
}

/// The sandbox, and the switcher, unless none is to be called.
fn find(
    glexec: &OsStr,
    proxy: &OsStr,
    sandbox: &OsStr,
) -> anyhow::Result<(Sandbox, Option<Switcher>)> {
    let sandbox = Sandbox::find(Path::new(sandbox), proxy)?;
    let switcher = match glexec.to_str() {
        Some("-") => None,
        _ => Some(Switcher::new(glexec, sandbox.credential(), environment::idle_timeout()?)?),
    };
    Ok((sandbox, switcher))
}
