//! The children of this process, and whoever becomes one by losing its parent (prctl(2), PR_SET_CHILD_SUBREAPER).

use crate::sys::signal::SIGKILL;
use crate::sys::{proc, process, signal};

/// The children that this process has now.
pub fn now() -> Vec<i32> {
    if process::has_children() { proc::children_of(process::own_number()) } else { Vec::new() }
}

/// Kills all that has descended from this process, but for the children that it had before, and waits for its end.
pub fn end_all(before: &[i32]) {
    loop {
        let children: Vec<i32> = now().into_iter().filter(|pid| !before.contains(pid)).collect();
        for pid in &children {
            let _ = signal::send_by_number(*pid, SIGKILL);
        }
        for pid in &children {
            process::reap_one(*pid);
        }
        if children.is_empty() && (!before.is_empty() || !process::has_children()) {
            return;
        }
    }
}
