//! What a payload has started, at its end. This process has adopted it (PR_SET_CHILD_SUBREAPER,
//! prctl(2)).

use std::time::{Duration, Instant};

use sys::signal::{self, SIGKILL};
use sys::wait::{self, Times};
use sys::{Pid, Uid, pidfd, proc, process};

/// So long is a killed process waited for that does not end: it waits for a device or a file
/// server.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a killed process needs to end, about.
const PAUSE: Duration = Duration::from_micros(200);

/// Kills the descendants of this process, and waits for their end. Returns their times, and how
/// many are left. The caller may have had children before it executed this program, which are this
/// process's now: what has its real user id stays.
///
/// A killed process's own children become this process's: so each round kills one generation, and a
/// process group that a child leads at once, before it can fork.
pub(crate) fn end(caller: Uid) -> (Times, usize) {
    let mut times = Times::default();
    let deadline = Instant::now() + TIMEOUT;
    loop {
        while let Some((_, _, more)) = wait::try_wait_any_with_times() {
            times += more;
        }
        // As a rule none is left. This needs no look at all processes of the machine, which
        // `descendants` takes if the kernel's list of children is empty.
        if !wait::has_children() {
            return (times, 0);
        }
        let left = descendants(caller);
        if left.is_empty() || Instant::now() >= deadline {
            return (times, left.len());
        }
        // None of them was waited for: their ids are no other processes'.
        left.into_iter().for_each(kill);
        std::thread::sleep(PAUSE);
    }
}

/// Sends a signal to all descendants of this process.
pub(crate) fn signal_all(number: i32) {
    signal_from(proc::children(process::getpid()), number);
}

/// Sends a signal to these children of this process and to all below them, from the top down: a
/// process that is stopped starts no other one.
pub(crate) fn signal_from(children: Vec<Pid>, number: i32) {
    let this = process::getpid();
    let below =
        |parent: Pid| proc::children_of_threads(parent).into_iter().map(move |pid| (pid, parent));
    let mut all: Vec<(Pid, Pid)> = children.into_iter().map(|pid| (pid, this)).collect();
    let mut at = 0;
    while let Some((pid, parent)) = all.get(at).copied() {
        signal_one(pid, [parent, this], number);
        all.extend(below(pid));
        at += 1;
    }
}

/// Sends a signal to a process, if its parent is one of these. A descendant that is no child of
/// this process can have ended, and another process can have its id: the descriptor is one
/// process's.
fn signal_one(pid: Pid, parents: [Pid; 2], number: i32) {
    let Ok(process) = pidfd::open(pid) else { return };
    if proc::entry(pid).is_ok_and(|found| found.is_some_and(|at| parents.contains(&at.parent))) {
        let _ = pidfd::send_signal(&process, number);
    }
}

/// Kills a child that was not waited for, with its process group if it leads one.
pub(crate) fn kill(child: Pid) {
    let _ = signal::killpg(child, SIGKILL);
    let _ = signal::kill(child, SIGKILL);
}

/// The children of this process that are not the caller's.
fn descendants(caller: Uid) -> Vec<Pid> {
    let mut children = proc::children(process::getpid());
    children.retain(|pid| proc::uids(*pid).is_none_or(|[real, ..]| real != caller));
    children
}
