//! Watching a family: it is killed when its pilot is gone.
//!
//! The end of the connection tells that: the kernel closes the pilot's socket however the pilot
//! ends. The operation `watch` does nothing else. An agent that serves a sandbox watches between
//! two requests ([`super::serve`]).
//!
//! A job that runs as the same user can kill or stop this process. The pilot notices that when the
//! payload ends; but if the pilot is killed before, the job goes on. Below the project's switcher
//! that cannot happen: there the payload ends with the switcher's process, and the switcher's
//! process ends with the pilot.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use error::Result;
use sys::{Pid, proc, signal};
use wire::{Channel, RemainsPolicy};

use super::family::Selector;
use super::hunter::{self, HuntRequest};
use super::{helper, hunt};

/// Waits, and then kills the family with this mark, whose first process is `root`. Reports the
/// result to a pilot that still exists.
pub(crate) fn watch(root: Pid, mark: &OsStr) -> Result<()> {
    let mut channel = helper::take_socket()?;
    let watched = Watched::new(root, mark.to_owned());
    helper::send_hello(&mut channel)?;
    // A pilot sends nothing before it closes its end. Anything else ends the wait as well.
    let _ = channel.receive();
    watched.end(&mut channel).or_else(|error| helper::send_failure(&mut channel, error))
}

/// A family that is watched.
pub(crate) struct Watched {
    root: Pid,
    /// When the root was started. None if it is gone already.
    started: Option<u64>,
    mark: OsString,
}

impl Watched {
    /// The family with this mark, whose first process is `root`.
    pub(crate) fn new(root: Pid, mark: OsString) -> Self {
        Watched { root, started: started(root), mark }
    }

    /// Kills the family, and reports the result to a pilot that still exists.
    pub(crate) fn end(self, channel: &mut Channel) -> Result<()> {
        // The pid may be another process's now. While no process has it, a session of that number
        // is still the one that the root led.
        let is_same = |root: &Pid| started(*root).is_none_or(|now| Some(now) == self.started);
        let root = Some(self.root).filter(is_same);
        let request = HuntRequest {
            selector: Selector::Family { root, mark: &self.mark },
            signal: signal::SIGKILL,
            grace: Duration::ZERO,
            soft_kill_signal: signal::SIGTERM,
        };
        let outcome = hunter::hunt(&request, Default::default(), &mut || {
            let _ = channel.keep_alive();
            true
        })?;
        hunt::report(outcome, RemainsPolicy::Ignore, channel)
    }
}

fn started(pid: Pid) -> Option<u64> {
    proc::entry(pid).ok().flatten().map(|entry| entry.started)
}
