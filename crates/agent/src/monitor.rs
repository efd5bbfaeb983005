//! A switcher of root's that stays above its command: a sudo, as sudo does with some settings, and
//! sudo-rs always; or a `glexec` that is set-user-ID root.
//!
//! Such a sudo stops itself when its command is stopped. Then only root can continue it, and the
//! job's end is not noticed. So below such a sudo the agent stays between it and the job, and is
//! not stopped with the job. Such a `glexec` goes on waiting, so it needs no agent.

use sys::proc::{self, Entry};
use sys::{Errno, Pid, prctl, process, signal};

/// Whether the parent of the process is a sudo that stays as its monitor. This user cannot signal a
/// sudo; a process of that name that it can signal is a job's.
pub(crate) fn is_below_sudo(pid: Pid) -> bool {
    let Ok(Some(Entry { parent, .. })) = proc::entry(pid) else { return false };
    // Where /proc hides the parent's name from this user (hidepid, proc(5)), it may be a sudo. That
    // of a closed world does; there the parent is a `glexec`. No sudo works with no_new_privs.
    let named = match proc::comm(parent) {
        Some(name) => name == b"sudo" || name == b"sudo-rs",
        None => !prctl::get_no_new_privs(),
    };
    named && signal::kill(parent, 0) == Err(Errno::EPERM)
}

/// If the process is a switcher that stays above its command, the first process of the job.
pub(crate) fn job_below(pid: Pid) -> Option<Pid> {
    job_below_sudo(pid).or_else(|| job_below_glexec(pid))
}

/// Below a `glexec` of root's: its child that leads a session. What it has adopted comes later in
/// the list of its children.
fn job_below_glexec(pid: Pid) -> Option<Pid> {
    let is_foreign = signal::kill(pid, 0) == Err(Errno::EPERM);
    if !proc::is_named_glexec(pid) || !is_foreign {
        return None;
    }
    let leads = |pid: &Pid| {
        let entry = proc::entry(*pid).ok().flatten();
        entry.is_some_and(|entry| entry.session == *pid) && signal::kill(*pid, 0).is_ok()
    };
    proc::children(pid).into_iter().find(leads)
}

/// Below a sudo: the child of the agent between them.
fn job_below_sudo(pid: Pid) -> Option<Pid> {
    let is_sudo =
        |pid: &Pid| proc::is_named_sudo(*pid) && signal::kill(*pid, 0) == Err(Errno::EPERM);
    // With a pseudo-terminal, sudo has a second process.
    let sudos = std::iter::successors(Some(pid).filter(is_sudo), |pid| {
        proc::children(*pid).into_iter().find(is_sudo)
    });
    let agent = sudos.take(3).flat_map(proc::children).find(|pid| is_agent_below_sudo(*pid))?;
    proc::children(agent).first().copied()
}

/// Whether the process is an agent between such a sudo and a job.
pub(crate) fn is_agent_below_sudo(pid: Pid) -> bool {
    is_below_sudo(pid) && proc::comm(pid) == proc::comm(process::getpid())
}
