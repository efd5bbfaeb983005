//! A sandbox whose call was ended before the payload began, or was killed.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;

use error::Result;
use wire::Links;

use super::put_back_credential;
use super::reports::{Reports, Taken};
use crate::batch::sandbox::{Found, MARK, Sandbox};
use crate::batch::switcher::{Call, Switcher, links_option};

/// Makes the sandbox what it was before its call, which has ended; without reports it never began.
/// The payload has not begun.
pub(super) fn restore(
    sandbox: &Sandbox,
    switcher: &Switcher,
    links: Links,
    reports: Option<Reports>,
) -> Result<()> {
    if let Some(mut reports) = reports {
        reports.finish();
        let is_whole = reports.payload_end().is_none()
            || matches!(reports.taken(), Some(Taken::Back(_) | Taken::Unchanged(_)));
        if !is_whole {
            take(sandbox, switcher, links)?;
        }
        let is_given = matches!(sandbox.found()?, Found::Theirs(_));
        if is_given || is_being_given(sandbox)? {
            undo(sandbox, switcher)?;
        }
    }
    put_back_credential(sandbox)
}

/// Whether a call was giving the sandbox when it was killed.
pub(in crate::batch::pilot) fn is_being_given(sandbox: &Sandbox) -> Result<bool> {
    // An empty one looks like the placeholder of a cleanup.
    if !matches!(sandbox.found()?, Found::Mine | Found::Placeholder) {
        return Ok(false);
    }
    Ok(sandbox.open()?.stat_self().is_ok_and(|top| top.mode() == MARK))
}

/// Takes back exactly what was given: no payload has had it.
pub(in crate::batch::pilot) fn undo(sandbox: &Sandbox, switcher: &Switcher) -> Result<()> {
    let path = sandbox.path();
    change(switcher, &["--undo".as_ref(), path.as_os_str(), "--end".as_ref()])
}

/// Takes back a sandbox that a payload has had, or the rest of it.
pub(in crate::batch::pilot) fn take(
    sandbox: &Sandbox,
    switcher: &Switcher,
    links: Links,
) -> Result<()> {
    let path = sandbox.path();
    let (option, links) = ("--links".as_ref(), links_option(links).as_ref());
    change(switcher, &["--take".as_ref(), path.as_os_str(), option, links, "--end".as_ref()])
}

/// Calls the project's `glexec` for a change of owner.
fn change(switcher: &Switcher, options: &[&OsStr]) -> Result<()> {
    let command = switcher.own_command(options.iter().map(OsString::from));
    let outcome = Call::start_command(switcher, command, (Stdio::null(), None))?.wait();
    if outcome.is_success() {
        return Ok(());
    }
    Err(outcome.error())
}
