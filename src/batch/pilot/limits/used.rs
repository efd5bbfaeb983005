//! What a payload has used. What is not known is `None`: there is no guess.

use std::time::Duration;

use sys::wait::Usage;

use super::group::Counted;
use super::watch::Watched;

/// What a payload has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// What the kernel has counted for the call of the switcher that contained the payload
    /// (wait4(2)).
    pub call: Option<Usage>,
    /// What its group has counted, if it had one.
    pub group: Option<Counted>,
    /// What was seen, if the payload was watched.
    pub watched: Option<Watched>,
    /// The most that the sandbox was seen to use, in bytes, if it was watched.
    pub peak_disk: Option<u64>,
}

impl Used {
    /// The processor time in user mode and in the kernel, and what has measured it. A group counts
    /// all of the payload and nothing else. The kernel's count for the call includes the switcher's
    /// own time; it lacks that of processes that were not waited for, so what was seen counts if
    /// it is more.
    pub fn processor_times(&self) -> Option<([Duration; 2], &'static str)> {
        if let Some(times) = self.group.and_then(|group| group.times) {
            return Some((times, "cgroup"));
        }
        let by_kernel = self.call.map(|usage| [usage.times.user, usage.times.system]);
        let measured = [
            by_kernel.map(|times| (times, "wait4")),
            self.watched.map(|watched| (watched.times(), "watching")),
        ];
        measured.into_iter().flatten().rev().max_by_key(|(times, _)| times[0] + times[1])
    }

    /// The most memory of all processes together, in bytes.
    pub fn peak_memory(&self) -> Option<u64> {
        let by_group = self.group.and_then(|group| group.peak_memory);
        by_group.or(self.watched.map(|watched| watched.peak_memory))
    }

    /// The most processes and threads.
    pub fn peak_processes(&self) -> Option<u64> {
        let by_group = self.group.and_then(|group| group.peak_processes);
        by_group.or(self.watched.map(|watched| watched.peak_processes))
    }

    /// What was written to devices, in bytes.
    pub fn written(&self) -> Option<u64> {
        let by_group = self.group.and_then(|group| group.written);
        by_group.or(self.call.map(|usage| usage.written))
    }

    /// Whether the kernel has killed processes of the payload because its memory was used up.
    pub fn is_out_of_memory(&self) -> bool {
        self.group.is_some_and(|group| group.is_out_of_memory)
    }
}
