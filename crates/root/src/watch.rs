//! Watching: the process above a payload looks at what the payload uses now and then. It sees each
//! process that the payload has started, because it adopts what they leave. Between two looks a
//! payload can exceed its limits.

use std::fmt;
use std::time::{Duration, Instant};

use cgroup::Limits;
use sys::signal::SIGKILL;
use sys::{Pid, Uid, proc, process};

use crate::family;

/// The time between two looks, at least and at most.
const INTERVAL: Duration = Duration::from_millis(100);
const LONGEST_INTERVAL: Duration = Duration::from_secs(2);

/// A look takes at most this part of the time between two looks, up to the longest interval.
const SHARE: u32 = 50;

/// A limit that a payload has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    limit: &'static str,
    value: u64,
    used: u64,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exceeded { limit, value, used } = self;
        write!(f, "the payload is killed: it exceeds its limit {limit}={value}, and uses {used}")
    }
}

/// Watches one payload.
#[derive(Debug)]
pub(crate) struct Watch {
    limits: Limits,
    payload: Pid,
    caller: Uid,
    next: Instant,
}

impl Watch {
    /// Watches these limits of a child of this process; none if there is none to watch.
    pub(crate) fn new(limits: Limits, payload: Pid, caller: Uid) -> Option<Watch> {
        let next = Instant::now() + INTERVAL;
        (limits != Limits::default()).then_some(Watch { limits, payload, caller, next })
    }

    /// When the next look is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Looks at the payload, and returns the first limit that it exceeds.
    pub(crate) fn look(&mut self) -> Option<Exceeded> {
        let begun = Instant::now();
        let all = self.processes();
        let pids = all.iter().map(|(_, threads)| threads).sum();
        let used =
            [("pids", self.limits.pids, pids), ("memory", self.limits.memory, self.memory(&all))];
        let pause = (begun.elapsed() * SHARE).clamp(INTERVAL, LONGEST_INTERVAL);
        self.next = Instant::now() + pause;
        used.into_iter().find_map(|(limit, value, used)| {
            let value = value.filter(|value| used > *value)?;
            Some(Exceeded { limit, value, used })
        })
    }

    /// Kills the payload's processes. One that starts meanwhile is ended with the payload's family.
    pub(crate) fn kill(&self) {
        family::signal_from(self.children(), SIGKILL);
    }

    /// The resident memory of all. What they share after a fork counts in each of them, unless the
    /// limit is exceeded so: then it counts once.
    fn memory(&self, all: &[(Pid, u64)]) -> u64 {
        let Some(limit) = self.limits.memory else { return 0 };
        let sum: u64 = all.iter().filter_map(|(pid, _)| proc::resident(*pid)).sum();
        if sum <= limit {
            return sum;
        }
        let share = |pid: &Pid| proc::proportional(*pid).or_else(|| proc::resident(*pid));
        all.iter().filter_map(|(pid, _)| share(pid)).sum::<u64>().min(sum)
    }

    /// The payload's processes, and how many threads each has.
    fn processes(&self) -> Vec<(Pid, u64)> {
        let all = proc::with_descendants(&self.children()).into_iter();
        all.map(|(pid, entry)| (pid, entry.threads.max(1))).collect()
    }

    /// The payload's processes that are children of this process.
    fn children(&self) -> Vec<Pid> {
        let mut children = proc::children(process::getpid());
        children.retain(|pid| self.is_own(*pid));
        children
    }

    /// Whether a child of this process belongs to the payload. Others are the caller's from before,
    /// and those above the session scripts, which are root's.
    fn is_own(&self, child: Pid) -> bool {
        let is_other =
            |[real, ..]: [Uid; 4]| real == self.caller || real.is_root() && child != self.payload;
        !proc::uids(child).is_some_and(is_other)
    }
}
