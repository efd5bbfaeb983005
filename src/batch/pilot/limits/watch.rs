//! Watching: the pilot looks at the payload's processes now and then, and finds the limit that they
//! exceed. This works through every switcher, and needs no rights. Between two looks a payload can
//! exceed its limits.

use std::time::{Duration, Instant};

use cgroup::Group;
use error::Result;
use sys::proc;

use super::family::Family;
use super::{Exceeded, Limit, Limits};

/// The time between two looks, at least and at most.
const INTERVAL: Duration = Duration::from_millis(100);
const LONGEST_INTERVAL: Duration = Duration::from_secs(2);

/// A look takes at most this part of the time between two looks, up to the longest interval.
const SHARE: u32 = 50;

/// What was seen of a payload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched {
    /// The most resident memory of all processes together, in bytes.
    pub peak_memory: u64,
    /// The most processes and threads.
    pub peak_processes: u64,
    /// The processor time of all processes, in user mode and in the kernel, in clock ticks: at
    /// least so much. A process that its parent does not wait for may have used more than was seen.
    times: [u64; 2],
}

impl Watched {
    /// The processor time in user mode and in the kernel: at least so much.
    pub fn times(&self) -> [Duration; 2] {
        let ticks = proc::ticks_per_second();
        self.times.map(|time| Duration::from_millis(time.saturating_mul(1000) / ticks))
    }
}

/// Watches one payload.
#[derive(Debug)]
pub struct Watcher {
    family: Family,
    /// The limits that are watched, with their values.
    limits: Vec<(Limit, u64)>,
    next: Instant,
    watched: Watched,
    has_looked: bool,
    /// The times of the process above the payload before the payload.
    times_before: [u64; 2],
    /// The times of the last look, and those that a later look did not show any more.
    last_times: [u64; 2],
    lost_times: [u64; 2],
}

impl Watcher {
    /// Watches these limits of a family whose payload has not begun.
    pub fn new(family: Family, limits: &Limits, watched: &[Limit]) -> Watcher {
        let values = watched.iter().filter_map(|limit| Some((*limit, limits.value(*limit)?)));
        let times_before = family.times_above();
        Watcher {
            family,
            limits: values.collect(),
            next: Instant::now() + INTERVAL,
            watched: Watched::default(),
            has_looked: false,
            times_before,
            last_times: [0; 2],
            lost_times: [0; 2],
        }
    }

    /// When the next look is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// What was seen until now; none before the first look.
    pub fn watched(&self) -> Option<Watched> {
        Some(self.watched).filter(|_| self.has_looked)
    }

    /// Looks at the payload, if a look is due. Returns the first limit that it exceeds. A group
    /// tells exactly which processes there are, and what time they have used.
    pub fn look_if_due(&mut self, group: Option<&Group>) -> Result<Option<Exceeded>> {
        let begun = Instant::now();
        if begun < self.next {
            return Ok(None);
        }
        match group {
            Some(group) => self.family.set(&group.cgroup().processes()),
            None => self.family.look()?,
        }
        let memory = self.memory();
        let processes = self.family.members().values().map(|entry| entry.threads.max(1)).sum();
        self.add_times();
        self.has_looked = true;
        let watched = &mut self.watched;
        watched.peak_memory = watched.peak_memory.max(memory);
        watched.peak_processes = watched.peak_processes.max(processes);
        let times =
            group.and_then(|group| group.cgroup().times()).unwrap_or_else(|| watched.times());
        let seconds = (times[0] + times[1]).as_secs();
        let pause = (begun.elapsed() * SHARE).clamp(INTERVAL, LONGEST_INTERVAL);
        self.next = Instant::now() + pause;
        let exceeded = |(limit, value): &(Limit, u64)| {
            let (used, is_exceeded) = match limit {
                Limit::Memory => (memory, memory > *value),
                Limit::Pids => (processes, processes > *value),
                Limit::CpuTime => (seconds, seconds >= *value),
                _ => return None,
            };
            let exceeded = Exceeded { limit: *limit, value: *value, used: Some(used) };
            is_exceeded.then_some(exceeded)
        };
        Ok(self.limits.iter().find_map(exceeded))
    }

    /// The resident memory of all processes. What they share after a fork counts in each of them,
    /// unless the limit is exceeded so: then it counts once, where the kernel shows that.
    fn memory(&self) -> u64 {
        let members = || self.family.members().keys();
        let sum: u64 = members().filter_map(|pid| proc::resident(*pid)).sum();
        let limit = self.limits.iter().find(|(limit, _)| *limit == Limit::Memory);
        if limit.is_none_or(|(_, value)| sum <= *value) {
            return sum;
        }
        let share = |pid: &_| proc::proportional(*pid).or_else(|| proc::resident(*pid));
        members().filter_map(share).sum::<u64>().min(sum)
    }

    /// Adds up the times. A process that ends adds its times to those of the process that waits for
    /// it, or they are lost.
    fn add_times(&mut self) {
        for (at, above) in self.family.times_above().into_iter().enumerate() {
            let of_members = self.family.members().values();
            let sum: u64 =
                of_members.map(|entry| entry.own_times[at] + entry.waited_times[at]).sum();
            let now = sum + above.saturating_sub(self.times_before[at]);
            self.lost_times[at] += self.last_times[at].saturating_sub(now);
            self.last_times[at] = now;
            self.watched.times[at] = now + self.lost_times[at];
        }
    }
}
