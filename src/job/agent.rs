//! The agent: the one program that the helpers call through the switcher, and its errands.
//!
//! It never exits with a status that a switcher uses for itself (201 to 204).

use std::ffi::OsString;
use std::path::Path;

use super::{enter, serve, signal};
use crate::error::{Error, Result};
use crate::sys::process;

/// What a helper can ask for.
const ERRANDS: &str = "condor_glexec_agent is called by the other programs of glexec-helpers, through the switcher: \
    serve <sandbox> | enter <sandbox> <family> <wrapper> [arg…] | signal <caller's uid> <pid> <number>";

/// Carries out the errand that the arguments name. `enter` returns only if it failed.
pub fn run(arguments: &[OsString]) -> Result<()> {
    let (errand, rest) = arguments.split_first().ok_or_else(usage)?;
    if process::user() == 0 {
        return Err(Error::refused("switcher", "it runs commands as root; a job user must be an ordinary user"));
    }
    match (errand.to_str(), rest) {
        (Some("serve"), [sandbox]) => serve::serve(Path::new(sandbox)),
        (Some("enter"), [sandbox, family, wrapper, arguments @ ..]) => {
            Err(enter::enter(Path::new(sandbox), family, wrapper, arguments))
        }
        (Some("signal"), [caller, pid, number]) => {
            let caller: u32 = number_of(caller).ok_or_else(usage)?;
            if caller == process::user() {
                return Err(Error::refused("switcher", "it runs commands as the calling user, not as a job user"));
            }
            let pid = number_of(pid).filter(|pid| *pid > 0).ok_or_else(usage)?;
            signal::send(pid, number_of(number).ok_or_else(usage)?)
        }
        _ => Err(usage()),
    }
}

fn number_of<T: std::str::FromStr>(text: &OsString) -> Option<T> {
    text.to_str()?.parse().ok()
}

fn usage() -> Error {
    Error::refused("usage", ERRANDS)
}
