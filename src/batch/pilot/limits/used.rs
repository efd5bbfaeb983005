//! What a payload has used. What is not known is `None`: there is no guess.

use std::time::Duration;

use sys::wait::Usage;

use super::watch::Watched;

/// What a payload has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// What the kernel has counted for the call of the switcher that contained the payload
    /// (wait4(2)).
    pub call: Option<Usage>,
    /// What was seen, if the payload was watched.
    pub watched: Option<Watched>,
    /// The most that the sandbox was seen to use, in bytes, if it was watched.
    pub peak_disk: Option<u64>,
}

impl Used {
    /// The processor time in user mode and in the kernel, and what has measured it. The kernel's
    /// count includes the switcher's own time; it lacks that of processes that were not waited for,
    /// so the greater one counts.
    pub fn processor_times(&self) -> Option<([Duration; 2], &'static str)> {
        let by_kernel = self.call.map(|usage| [usage.times.user, usage.times.system]);
        let measured = [
            by_kernel.map(|times| (times, "wait4")),
            self.watched.map(|watched| (watched.times(), "watching")),
        ];
        measured.into_iter().flatten().rev().max_by_key(|(times, _)| times[0] + times[1])
    }
}
