//! After the payload's end: the call takes the sandbox back, and ends.

use std::cell::Cell;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use error::{Error, Result};
use sys::fd;
use sys::wait::{End, Usage};
use wire::{Halt, Links};

use super::reports::{Reports, Taken};
use super::restore::{is_being_given, take};
use super::{OneCall, put_back_credential};
use crate::batch::handover::Changed;
use crate::batch::sandbox::{Found, Sandbox};
use crate::batch::switcher::Switcher;

/// How often it is checked whether a signal asks for the end.
const INTERVAL: Duration = Duration::from_millis(100);

/// How the sandbox is after the call.
pub(in crate::batch::pilot) enum Back {
    /// It is the batch user's, with the credential in it.
    Taken(Changed),
    /// It is the payload's, and why. It has to be copied.
    Left(String),
}

/// Waits until the call has ended, and puts the credential back into the sandbox. `halt` kills the
/// call; another one takes the rest. `usage` becomes what the
/// call has used, if that is known.
pub(in crate::batch::pilot) fn take_back(
    one_call: OneCall,
    sandbox: &Sandbox,
    switcher: &Switcher,
    links: Links,
    halt: &Halt,
    usage: &Cell<Option<Usage>>,
) -> Result<Back> {
    let OneCall { call, wrapper, mut reports, lock: _lock, .. } = one_call;
    drop(wrapper);
    while !reports.is_complete() {
        match fd::poll_readable([reports.as_fd()], Some(Instant::now() + INTERVAL)) {
            Ok([true]) => reports.receive(),
            _ if halt.is_requested() => {
                call.kill();
                break;
            }
            _ => {}
        }
    }
    let outcome = call.end_within(Duration::from_secs(5));
    usage.set(outcome.usage);
    let end = outcome.end;
    reports.finish();
    if halt.is_requested() {
        return Err(Error::refused(sandbox.path(), "taking it back was interrupted"));
    }
    let back = settle(&reports, end, sandbox, switcher, links)?;
    if let Back::Taken(_) = back {
        // No other user may enter a directory that this process has locked.
        let top = sandbox.open()?;
        error::Context::at(top.set_mode(0o700), "set the mode of", sandbox.path())?;
        put_back_credential(sandbox)?;
    }
    Ok(back)
}

/// What the reports and the disk say; what is left to take is taken.
fn settle(
    reports: &Reports,
    end: Option<End>,
    sandbox: &Sandbox,
    switcher: &Switcher,
    links: Links,
) -> Result<Back> {
    let why = match reports.taken() {
        Some(Taken::Back(changed)) => return Ok(Back::Taken(changed)),
        Some(Taken::Unchanged(why)) => return Ok(Back::Left(why)),
        Some(Taken::Begun(why)) => why,
        None => match end {
            Some(end) => format!("glexec {end}"),
            None => "glexec did not end".to_owned(),
        },
    };
    // The call was killed, or has failed: the owner of the top tells how far it has come.
    match sandbox.found()? {
        Found::Mine | Found::Placeholder if is_being_given(sandbox)? => {
            Err(Error::refused(sandbox.path(), format!("it is not the payload's: {why}")))
        }
        Found::Mine => {
            take(sandbox, switcher, links)?;
            Ok(Back::Taken(Changed::default()))
        }
        _ => Ok(Back::Left(why)),
    }
}
