//! The children of this process: also the descendants that it adopts when they lose their parent
//! (prctl(2), PR_SET_CHILD_SUBREAPER).

use sys::signal::SIGKILL;
use sys::{Pid, Uid, proc, process, signal};

/// Kills all descendants of this process, and waits for their end.
pub(crate) fn kill_all() {
    while process::has_children() {
        kill(&proc::children_of(process::getpid()));
    }
}

/// Kills the descendants of this process that have this user id, and waits for their end. Other
/// children can be those that the caller had before.
pub(crate) fn kill_all_of(user: Uid) {
    loop {
        let all = proc::children_of(process::getpid());
        let is_users = |pid: &Pid| proc::owners(*pid).is_some_and(|owners| owners.contains(&user));
        let children: Vec<Pid> = all.into_iter().filter(is_users).collect();
        if children.is_empty() {
            return;
        }
        kill(&children);
    }
}

fn kill(children: &[Pid]) {
    for pid in children {
        let _ = signal::send_by_number(*pid, SIGKILL);
    }
    for pid in children {
        process::reap_one(*pid);
    }
}
