//! A sudo that stays as a monitor above what it has started, as it does with some settings, and
//! sudo-rs always.
//!
//! It stops itself when its command is stopped, and nobody but root could continue it: the job's
//! end would never be noticed. So below such a sudo the agent stays as well, between it and the
//! job, and is not stopped with the job.

use sys::proc::{self, Entry};
use sys::{Errno, Pid, process, signal};

/// Whether the process was started by a sudo that stays as its monitor: one that this user can't
/// signal, or it would be a job's own program of that name.
pub fn is_below(pid: Pid) -> bool {
    let Ok(Some(Entry { parent, .. })) = proc::entry(pid) else { return false };
    // Where /proc hides it from this user (hidepid of proc(5)), it may be one.
    let named = proc::name(parent).is_none_or(|name| name == b"sudo" || name == b"sudo-rs");
    named && signal::send_by_number(parent, 0) == Err(Errno::EPERM)
}

/// The job below a sudo that stays as its monitor, of whose processes one has this number: the
/// child of the agent that stands between.
pub fn job_below(pid: Pid) -> Option<Pid> {
    let is_sudo = |pid: &Pid| {
        proc::is_named_sudo(*pid) && signal::send_by_number(*pid, 0) == Err(Errno::EPERM)
    };
    // With a terminal of its own it has another process between.
    let sudos = std::iter::successors(Some(pid).filter(is_sudo), |pid| {
        children(*pid).into_iter().find(is_sudo)
    });
    let stand_in = sudos.take(3).flat_map(children).find(|pid| is_stand_in(*pid))?;
    children(stand_in).first().copied()
}

fn children(pid: Pid) -> Vec<Pid> {
    proc::children_of(pid)
}

/// Whether the process is the agent that stands between such a sudo and a job.
pub fn is_stand_in(pid: Pid) -> bool {
    is_below(pid) && proc::name(pid) == proc::name(process::getpid())
}
