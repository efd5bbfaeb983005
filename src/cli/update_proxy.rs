//! `condor_glexec_update_proxy`

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;

use super::Exit;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;
use crate::batch::{Report, update_proxy};

/// The command's definition.
pub fn definition() -> clap::Command {
    super::define(
        "condor_glexec_update_proxy",
        "Renews the credential of a sandbox, also while its job runs.",
        "\
Arguments:
  <glexec or ->     the identity switcher; - for none: then only the copy that you
                    can reach yourself is replaced
  <new-proxy-path>  the file with the new credential. It is removed, also when the
                    renewal fails, except after a usage error or if it is
                    the very file to be replaced
  <proxy>           the file name of the credential inside the sandbox
  <sandbox>         the absolute path of the directory

The job's copy is replaced first, then the kept one; each atomically, so that a
reader sees the old one or the new one. If the job's can't be replaced, the kept
one still is.

Exit status: 0; 1 for everything else.

Environment: GLEXEC_HELPERS_IDLE_TIMEOUT: seconds without progress before the
other side is given up (600; 0 is for ever). GLEXEC_HELPERS_LOG: a file,
'syslog' or 'stderr', for a line of JSON about what was done.",
        &["glexec or -", "new-proxy-path", "proxy", "sandbox"],
    )
}

/// Runs the command.
pub fn main() -> ExitCode {
    super::creating_command(definition(), run)
}

fn run(words: Vec<OsString>, report: &mut Report<'_>) -> Result<(), Exit> {
    let [glexec, new, proxy, sandbox] = &words[..] else {
        return Err(anyhow!("too few arguments").into());
    };
    let new = Path::new(new);
    let (sandbox, switcher) = prepare(glexec, proxy, sandbox).inspect_err(|_| {
        update_proxy::consume(new);
    })?;
    report.about = sandbox.path();
    report.request = sandbox.request();
    Ok(update_proxy::update_proxy(&sandbox, switcher.as_ref(), new)?)
}

fn prepare(
    glexec: &OsStr,
    proxy: &OsStr,
    sandbox: &OsStr,
) -> Result<(Sandbox, Option<Switcher>), Exit> {
    let sandbox = Sandbox::find(Path::new(sandbox), proxy)?;
    let switcher = match glexec.to_str() {
        Some("-") => None,
        _ => Some(Switcher::new(glexec, sandbox.credential(), super::idle_limit()?)?),
    };
    Ok((sandbox, switcher))
}
