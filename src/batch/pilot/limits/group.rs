//! The payload's control group, where one is delegated to this user: its limits, and what it
//! counts.

use std::time::Duration;

use cgroup::{Group, Place};
use error::Result;

use super::Limit;
use super::plan::{Means, Plan};

/// The controller that enforces a limit.
pub fn controller(limit: Limit) -> Option<&'static str> {
    match limit {
        Limit::Memory => Some("memory"),
        Limit::Pids => Some("pids"),
        Limit::Cpus => Some("cpu"),
        Limit::FileSize | Limit::Disk | Limit::CpuTime => None,
    }
}

/// Makes the group of a payload in this place, with the limits that the plan leaves to it.
pub fn make(place: &Place, plan: &Plan) -> Result<Group> {
    let value = |limit: Limit| {
        let mut limits = plan.limits.iter();
        let found = limits.find(|one| one.limit == limit && one.means.contains(&Means::Cgroup));
        found.map(|enforced| enforced.value)
    };
    place.make(&cgroup::Limits {
        memory: value(Limit::Memory),
        pids: value(Limit::Pids),
        cpus: value(Limit::Cpus),
    })
}

/// What a group has counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// The processor time of all processes, in user mode and in the kernel.
    pub times: Option<[Duration; 2]>,
    /// The most memory, with the pages of files that its processes have read or written.
    pub peak_memory: Option<u64>,
    /// The most processes and threads.
    pub peak_processes: Option<u64>,
    /// What was written to devices, in bytes.
    pub written: Option<u64>,
    /// Whether the kernel has killed processes because their memory was used up.
    pub is_out_of_memory: bool,
}

impl Counted {
    /// What a group has counted until now.
    pub fn of(group: &Group) -> Counted {
        let group = group.cgroup();
        Counted {
            times: group.times(),
            peak_memory: group.number("memory.peak"),
            peak_processes: group.number("pids.peak"),
            written: group.sum_of("io.stat", "wbytes="),
            is_out_of_memory: group.is_out_of_memory(),
        }
    }
}

/// Ends and removes the groups of payloads whose pilot was killed.
pub fn sweep() {
    if let Some(place) = Place::of_self() {
        place.sweep();
    }
}
