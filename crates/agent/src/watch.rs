//! The operation `watch`: kills a family when its pilot is gone.
//!
//! It waits for the end of file on the pilot's socket: the kernel closes the socket however the
//! pilot ends.
//!
//! A job that runs as the same user can kill or stop this process. The pilot notices that when the
//! payload ends; but if the pilot is killed before, the job goes on. Below the project's switcher
//! that cannot happen: there the payload ends with the switcher's process, and the switcher's
//! process ends with the pilot.

use std::ffi::OsStr;
use std::time::Duration;

use error::Result;
use sys::{Pid, proc, signal};
use wire::RemainsPolicy;

use super::family::Selector;
use super::hunter::{self, HuntRequest};
use super::{helper, hunt};

/// Waits, and then kills the family with this mark, whose first process is `root`. Reports the
/// result to a pilot that still exists.
pub(crate) fn watch(root: Pid, mark: &OsStr) -> Result<()> {
    let mut channel = helper::take_socket()?;
    let started = |pid: Pid| proc::entry(pid).ok().flatten().map(|entry| entry.started);
    let root_started = started(root);
    helper::send_hello(&mut channel)?;
    // A pilot sends nothing before it closes its end. Anything else ends the wait as well.
    let _ = channel.receive();
    // The pid may be another process's now. While no process has it, a session of that number is
    // still the one that `root` led.
    let root = Some(root).filter(|root| started(*root).is_none_or(|now| Some(now) == root_started));
    let request = HuntRequest {
        selector: Selector::Family { root, mark },
        signal: signal::SIGKILL,
        grace: Duration::ZERO,
        soft_kill_signal: signal::SIGTERM,
    };
    let hunted = hunter::hunt(&request, Default::default(), &mut || {
        let _ = channel.keep_alive();
        true
    });
    let reported =
        hunted.and_then(|outcome| hunt::report(outcome, RemainsPolicy::Ignore, &mut channel));
    reported.or_else(|error| helper::send_failure(&mut channel, error))
}
