//! The guard of a call, as a lease records it.

use std::time::Duration;

use sys::{Pid, pidfd, proc};

/// A guard: the namespace of its lease can be opened through it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardId {
    /// Its process id.
    pub(crate) pid: Pid,
    /// When it was started: a later process can have the same process id.
    pub(crate) started: u64,
}

impl GuardId {
    /// The guard with this process id; none if it has ended.
    pub(crate) fn of(pid: Pid) -> Option<GuardId> {
        proc::entry(pid).ok().flatten().map(|entry| GuardId { pid, started: entry.started })
    }

    /// Whether it has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        let is_same = |found: proc::Entry| found.started == self.started && !found.has_ended();
        proc::entry(self.pid).is_ok_and(|found| found.is_some_and(is_same))
    }

    /// Whether it has ended, or ends within this time: a killed process is listed for a moment, but
    /// nothing of it can be opened any more.
    pub(crate) fn ends_within(&self, limit: Duration) -> bool {
        let ends = |pidfd| pidfd::wait_for_exit(&pidfd, limit).unwrap_or(false);
        !self.is_alive() || pidfd::open(self.pid).is_ok_and(ends) || !self.is_alive()
    }
}
