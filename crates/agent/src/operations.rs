//! The agent: the one program that the helpers call through the switcher, and its operations.
//!
//! It never exits with a status that a switcher uses for itself (201 to 204).

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use error::{Error, Result};
use sys::{Pid, Uid, process, signal};

use super::family::Target;
use super::hunt::Order;
use super::remains::Remains;
use super::{enter, kill, serve, watch};

/// What a helper can ask for.
const OPERATIONS: &str = "condor_glexec_agent is called by the other programs of glexec-helpers, through the switcher: \
    serve <sandbox> | enter <sandbox> <family> <wrapper> [arg…] | signal <caller's uid> <pid> <number> | \
    hunt <caller's uid> <pid or -> <number> <seconds of grace> <number that asks> <mark> | \
    hunt-account <caller's uid> <number> <seconds of grace> ignore|name|remove | watch <caller's uid> <pid> <mark>";

/// Carries out the operation that the arguments name. `enter` returns only if it failed.
pub fn run(arguments: &[OsString]) -> Result<()> {
    let (operation, rest) = arguments.split_first().ok_or_else(usage)?;
    if process::user().is_root() {
        return Err(Error::refused(
            "switcher",
            "it runs commands as root; a job user must be an ordinary user",
        ));
    }
    match (operation.to_str(), rest) {
        (Some("serve"), [sandbox]) => serve::serve(Path::new(sandbox)),
        (Some("enter"), [sandbox, family, wrapper, arguments @ ..]) => {
            Err(enter::enter(Path::new(sandbox), family, wrapper, arguments))
        }
        (Some("signal"), [caller, pid, number]) => {
            refuse_caller(caller)?;
            kill::send(positive(pid)?, number_of(number)?)
        }
        (Some("hunt"), [caller, root, number, grace, asks, mark]) => {
            refuse_caller(caller)?;
            let root = if root == "-" { None } else { Some(positive(root)?) };
            let grace = Duration::from_secs(number_of::<u32>(grace)?.into());
            let target = Target::Family { root, mark };
            let order = Order { target, signal: number_of(number)?, grace, asks: number_of(asks)? };
            kill::hunt(&order, Remains::Ignored)
        }
        (Some("hunt-account"), [caller, number, grace, remains]) => {
            refuse_caller(caller)?;
            let remains = match remains.to_str() {
                Some("ignore") => Remains::Ignored,
                Some("name") => Remains::Named,
                Some("remove") => Remains::Removed,
                _ => return Err(usage()),
            };
            let grace = Duration::from_secs(number_of::<u32>(grace)?.into());
            let order = Order {
                target: Target::Account,
                signal: number_of(number)?,
                grace,
                asks: signal::SIGTERM,
            };
            kill::hunt(&order, remains)
        }
        (Some("watch"), [caller, root, mark]) => {
            refuse_caller(caller)?;
            watch::watch(positive(root)?, mark)
        }
        _ => Err(usage()),
    }
}

/// Before any signal: a switcher that leads to the caller itself would have it hunt its own
/// processes.
fn refuse_caller(caller: &OsString) -> Result<()> {
    if number_of(caller).map(Uid::from_raw)? == process::user() {
        return Err(Error::refused(
            "switcher",
            "it runs commands as the calling user, not as a job user",
        ));
    }
    Ok(())
}

fn positive(pid: &OsString) -> Result<Pid> {
    number_of(pid).and_then(|pid| if pid > 0 { Ok(Pid::from_raw(pid)) } else { Err(usage()) })
}

fn number_of<T: std::str::FromStr>(text: &OsString) -> Result<T> {
    text.to_str().and_then(|text| text.parse().ok()).ok_or_else(usage)
}

fn usage() -> Error {
    Error::refused("usage", OPERATIONS)
}
