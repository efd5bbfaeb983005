//! The payload's control group, where one is delegated to this user: its limits, and what it
//! counts.

use std::time::Duration;

use cgroup::{Group, Place};
use error::Result;

use super::Limit;
use super::plan::{Means, Plan};

/// The period of `cpu.max`, in microseconds.
const PERIOD: u64 = 100_000;

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
    let limits = || plan.limits.iter().filter(|limit| limit.means.contains(&Means::Cgroup));
    let controllers: Vec<&str> = limits().filter_map(|limit| controller(limit.limit)).collect();
    let group = place.make(&controllers)?;
    for enforced in limits() {
        let value = enforced.value;
        match enforced.limit {
            Limit::Memory => {
                group.set("memory.max", &value.to_string())?;
                // What does not fit does not move to swap space instead; not every kernel has that.
                let _ = group.set("memory.swap.max", "0");
                let _ = group.set("memory.oom.group", "1");
            }
            Limit::Pids => group.set("pids.max", &value.to_string())?,
            Limit::Cpus => {
                group.set("cpu.max", &format!("{} {PERIOD}", value.saturating_mul(PERIOD)))?;
            }
            Limit::FileSize | Limit::Disk | Limit::CpuTime => {}
        }
    }
    Ok(group)
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
        Counted {
            times: group.times(),
            peak_memory: group.number("memory.peak"),
            peak_processes: group.number("pids.peak"),
            written: group.sum_of("io.stat", "wbytes="),
            is_out_of_memory: group
                .number_of("memory.events", "oom_kill")
                .is_some_and(|kills| kills > 0),
        }
    }
}

/// Ends and removes the groups of payloads whose pilot was killed.
pub fn sweep() {
    if let Some(place) = Place::of_self() {
        place.sweep();
    }
}
