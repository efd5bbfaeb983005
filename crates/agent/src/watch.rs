//! The errand that ends a family when its pilot is gone: it waits for the end of file on the
//! pilot's socket, which the kernel sees to, however the pilot has ended.
//!
//! A job can kill or stop this process where both are one account's. The pilot notices at the end
//! of the payload; but who kills both leaves that job running. Below the project's own switcher
//! that cannot be: there the payload ends with the switcher's process, and that with the pilot.

use std::ffi::OsStr;
use std::time::Duration;

use error::Result;
use sys::{Pid, proc, signal};

use super::family::Target;
use super::remains::Remains;
use super::{helper, hunt, kill};

/// Waits, and then kills the family of this mark, which the process `root` was started to lead.
/// Tells a pilot that is still there what became of them.
pub fn watch(root: Pid, mark: &OsStr) -> Result<()> {
    let mut channel = helper::take_socket()?;
    let started = |pid: Pid| proc::entry(pid).ok().flatten().map(|entry| entry.started);
    let root_started = started(root);
    helper::greet(&mut channel)?;
    // Whatever it says, nothing was asked for but its end.
    let _ = channel.receive();
    // Its number may be another process's by now. While it is nobody's, whoever is in a session of
    // that number is in the one that it led.
    let root = Some(root).filter(|root| started(*root).is_none_or(|now| Some(now) == root_started));
    let order = hunt::Order {
        target: Target::Family { root, mark },
        signal: signal::SIGKILL,
        grace: Duration::ZERO,
        asks: signal::SIGTERM,
    };
    let hunted = hunt::hunt(&order, Default::default(), &mut || {
        let _ = channel.keep_alive();
        true
    });
    let told = hunted.and_then(|outcome| kill::tell(outcome, Remains::Ignored, &mut channel));
    told.or_else(|error| helper::give_up(&mut channel, error))
}
