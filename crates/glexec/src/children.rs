//! The children of this process, and whoever becomes one by losing its parent (prctl(2),
//! PR_SET_CHILD_SUBREAPER).

use sys::signal::SIGKILL;
use sys::{Pid, Uid, proc, process, signal};

/// Kills all that has descended from this process, and waits for its end.
pub fn end_all() {
    while process::has_children() {
        end(&proc::children_of(process::getpid()));
    }
}

/// The same, but for those that are not of this user: a caller may have had children before.
pub fn end_those_of(user: Uid) {
    loop {
        let all = proc::children_of(process::getpid());
        let is = |pid: &Pid| proc::owners(*pid).is_some_and(|owners| owners.contains(&user));
        let those: Vec<Pid> = all.into_iter().filter(is).collect();
        if those.is_empty() {
            return;
        }
        end(&those);
    }
}

fn end(children: &[Pid]) {
    for pid in children {
        let _ = signal::send_by_number(*pid, SIGKILL);
    }
    for pid in children {
        process::reap_one(*pid);
    }
}
