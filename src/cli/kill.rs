//! `condor_glexec_kill`

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use anyhow::{anyhow, bail};

use super::Exit;
use crate::batch::switcher::Switcher;
use crate::batch::{Report, kill};
use crate::shown::Shown;
use crate::sys::signal;

/// The command's definition.
pub fn definition() -> clap::Command {
    super::define(
        "condor_glexec_kill",
        "Sends a signal to a process of the job user's.",
        "\
Arguments:
  <glexec>       the identity switcher
  <proxy-path>   the path of the kept credential: <sandbox>.condor/<proxy>
  <pid>          the process: a positive number
  <signal>       a number, or a name with or without SIG
  <max-retries>  how many times to repeat a call when the switcher ends
                 with 202 or 203
  <min-delay>    seconds before the first repetition; later pauses are up to
                 as many times longer as calls have failed

Exit status: 0 the signal was sent; 1 usage or bad input; 2 failed (no such
process, not the job user's); 3 all retries used up.

Environment: GLEXEC_HELPERS_IDLE_TIMEOUT: seconds without progress before the
other side is given up (600; 0 is for ever). GLEXEC_HELPERS_LOG: a file,
'syslog' or 'stderr', for a line of JSON about what was done.",
        &["glexec", "proxy-path", "pid", "signal", "max-retries", "min-delay"],
    )
}

/// Runs the command.
pub fn main() -> ExitCode {
    super::command(definition(), run)
}

fn run(words: Vec<OsString>, report: &mut Report<'_>) -> Result<(), Exit> {
    let [glexec, proxy, pid, signal, max_retries, min_delay] = &words[..] else {
        return Err(anyhow!("too few arguments").into());
    };
    let patience = super::patience(max_retries, min_delay)?;
    let (pid, number) = (process(pid)?, signal_number(signal)?);
    // The switcher is called from the root directory.
    let proxy = std::path::absolute(proxy).map_err(|error| anyhow!("<proxy-path> '{}': {error}", Shown::os(proxy)))?;
    report.about.clone_from(&proxy);
    let switcher = Switcher::new(glexec, proxy, super::idle_limit()?)?;
    Ok(kill::kill(&switcher, pid, number, patience, report)?)
}

/// One process: never a group, nor all processes, which 0 and negative numbers mean to kill(2).
fn process(text: &OsStr) -> anyhow::Result<i32> {
    match super::number("pid", text) {
        Ok(pid @ 1..) => Ok(pid),
        _ => bail!("<pid> is not a positive number: '{}'", Shown::os(text)),
    }
}

fn signal_number(text: &OsStr) -> anyhow::Result<i32> {
    let number = text.to_str().and_then(signal::parse);
    number.ok_or_else(|| anyhow!("<signal> is neither a signal's number nor its name: '{}'", Shown::os(text)))
}
