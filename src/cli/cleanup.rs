//! `condor_glexec_cleanup`

use std::ffi::OsString;
use std::process::ExitCode;

use error::Shown;
use wire::Links;

use super::{Exit, Status};
use crate::batch::Report;
use crate::batch::cleanup::{self, Ends, Policy};

/// The command's definition.
pub fn definition() -> clap::Command {
    super::define(
        "condor_glexec_cleanup",
        "After a job: brings its files back to the batch user.",
        "\
Arguments:
  <glexec>       the identity switcher that setup was called with
  <proxy>        the file name of the credential inside the sandbox
  <sandbox>      the absolute path of the directory
  <max-retries>  how many times to repeat a call when the switcher ends
                 with 202 or 203
  <min-delay>    seconds before the first repetition; later pauses are up to
                 as many times longer as calls have failed

Afterwards <sandbox> is yours again, with the proxy that was kept in
<sandbox>.condor in place of whatever the job left under that name, and
<sandbox>.condor is gone. If it fails, the job's files are where they were, and
another cleanup completes. Running it twice is harmless; it also restores what
an interrupted setup left.

Exit status: 0; 1 for everything else.

Environment: GLEXEC_HELPERS_IDLE_TIMEOUT: seconds without progress before the
other side is given up (600; 0 is for ever). GLEXEC_HELPERS_LINKS: what becomes
of symbolic links that lead out of the sandbox: 'copy' (a copy of the regular
file that they lead to, if the job can read it; the default), 'drop', or 'keep'
(then do not follow them with your rights). GLEXEC_HELPERS_CLEANUP: which
processes are ended first: 'files' (none; the default), 'family' (all that
carry the job's mark), or 'account' (all of the job user's; only where an
account has one job at a time). GLEXEC_HELPERS_LOG: a file,
'syslog' or 'stderr', for a line of JSON about what was done.",
        &["glexec", "proxy", "sandbox", "max-retries", "min-delay"],
    )
}

/// Runs the command.
pub fn main() -> ExitCode {
    super::creating_command(definition(), |words, report| {
        run(words, report).map_err(|exit| Exit { status: Status::BadInput, ..exit })
    })
}

fn run(words: Vec<OsString>, report: &mut Report<'_>) -> Result<(), Exit> {
    let (sandbox, switcher, patience) = super::setup::arguments(&words)?;
    report.about = sandbox.path();
    let policy = Policy { links: links()?, ends: ends()?, closes_top: false };
    Ok(cleanup::cleanup(&sandbox, &switcher, patience, policy, report)?)
}

/// `GLEXEC_HELPERS_CLEANUP`.
fn ends() -> anyhow::Result<Ends> {
    const NAME: &str = "GLEXEC_HELPERS_CLEANUP";
    let Some(text) = std::env::var_os(NAME) else { return Ok(Ends::Nothing) };
    match text.to_str() {
        Some("files" | "") => Ok(Ends::Nothing),
        Some("family") => Ok(Ends::Family),
        Some("account") => Ok(Ends::Account),
        _ => anyhow::bail!("{NAME} is none of files, family and account: '{}'", Shown::os(&text)),
    }
}

/// `GLEXEC_HELPERS_LINKS`.
pub(super) fn links() -> anyhow::Result<Links> {
    const NAME: &str = "GLEXEC_HELPERS_LINKS";
    let Some(text) = std::env::var_os(NAME) else { return Ok(Links::Copy) };
    match text.to_str() {
        Some("copy" | "") => Ok(Links::Copy),
        Some("keep") => Ok(Links::Keep),
        Some("drop") => Ok(Links::Drop),
        _ => anyhow::bail!("{NAME} is none of copy, keep and drop: '{}'", Shown::os(&text)),
    }
}
