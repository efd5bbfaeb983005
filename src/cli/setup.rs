//! `condor_glexec_setup`

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;

use super::Exit;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;
use crate::batch::{Report, setup};

/// The command's definition.
pub fn definition() -> clap::Command {
    super::define(
        "condor_glexec_setup",
        "Before a job: hands a sandbox to the job user, and keeps its proxy for the batch user.",
        "\
Arguments:
  <glexec>       the identity switcher: a program that runs a command as the user
                 to whom the credential in GLEXEC_CLIENT_CERT is mapped
  <proxy>        the file name of the credential inside the sandbox
  <sandbox>      the absolute path of a directory that you own
  <max-retries>  how many times to repeat a call when the switcher ends
                 with 202 or 203
  <min-delay>    seconds before the first repetition; later pauses are up to
                 as many times longer as calls have failed

Afterwards <sandbox> belongs to the job user and holds everything, and
<sandbox>.condor is yours and holds only the proxy. If it fails, everything is
as it was.

Exit status: 0; 1 usage or bad input; 2 failed, and trying again will not help;
3 all retries used up.

Environment: GLEXEC_HELPERS_IDLE_TIMEOUT: seconds without progress before the
other side is given up (600; 0 is for ever). GLEXEC_HELPERS_LOG: a file,
'syslog' or 'stderr', for a line of JSON about what was done.",
        &["glexec", "proxy", "sandbox", "max-retries", "min-delay"],
    )
}

/// Runs the command.
pub fn main() -> ExitCode {
    super::creating_command(definition(), run)
}

fn run(words: Vec<OsString>, report: &mut Report<'_>) -> Result<(), Exit> {
    let (sandbox, switcher, patience) = arguments(&words)?;
    report.about = sandbox.path();
    Ok(setup::setup(&sandbox, &switcher, patience, report)?)
}

/// The arguments of setup, which are cleanup's, too.
pub(super) fn arguments(
    words: &[OsString],
) -> Result<(Sandbox, Switcher, crate::batch::Patience), Exit> {
    let [glexec, proxy, sandbox, max_retries, min_delay] = words else {
        return Err(anyhow!("too few arguments").into());
    };
    let patience = super::patience(max_retries, min_delay)?;
    super::enough_descriptors()?;
    let sandbox = Sandbox::find(Path::new(sandbox), proxy)?;
    let switcher = Switcher::new(glexec, sandbox.credential(), super::idle_limit()?)?;
    Ok((sandbox, switcher, patience))
}
