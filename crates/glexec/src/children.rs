//! The children of this process: also the descendants that it adopts when they lose their parent
//! (prctl(2), PR_SET_CHILD_SUBREAPER).

use sys::signal::{self, SIGKILL};
use sys::{Pid, Uid, proc, process, wait};

/// Kills all descendants of this process, and waits for their end.
pub(crate) fn kill_all() {
    while wait::has_children() {
        kill(&proc::children(process::getpid()));
    }
}

/// Kills the descendants of this process that have this user id, and waits for their end. Other
/// children can be those that the caller had before.
pub(crate) fn kill_all_of(user: Uid) {
    loop {
        let all = proc::children(process::getpid());
        let is_users =
            |pid: &Pid| proc::real_and_saved_uid(*pid).is_some_and(|owners| owners.contains(&user));
        let children: Vec<Pid> = all.into_iter().filter(is_users).collect();
        if children.is_empty() {
            return;
        }
        kill(&children);
    }
}

fn kill(children: &[Pid]) {
    for pid in children {
        let _ = signal::kill(*pid, SIGKILL);
    }
    for pid in children {
        wait::wait(*pid);
    }
}
