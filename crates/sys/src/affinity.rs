//! The processors that a process may run on (sched_setaffinity(2)).

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Pid, Result};

/// The numbers of the processors that this process may run on.
pub fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|number| set.is_set(*number).unwrap_or(false)).collect())
}

/// From now on this process, and what it starts, runs on these processors only. Each of them can
/// undo that, up to the processors of its cpuset (cpuset(7)).
pub fn set(processors: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for number in processors {
        set.set(*number)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// Chooses so many of the processors that this process may run on: neighbours, beginning at the one
/// that any number stands for, so that payloads on one machine do not all have the first ones. No
/// effect if there are not so many.
pub fn narrow(count: u64, any: usize) -> Result<()> {
    let allowed = allowed()?;
    let Some(count) = usize::try_from(count).ok().filter(|count| *count < allowed.len()) else {
        return Ok(());
    };
    let first = any % allowed.len();
    let chosen: Vec<usize> = allowed.iter().cycle().skip(first).take(count).copied().collect();
    set(&chosen)
}
