//! The errand that sends a signal.

use crate::error::{Context as _, Error, Result};
use crate::sys::{Errno, process, signal};

/// Sends one signal to one process of this user.
///
/// The process is held by a pidfd, so that a number that is used again meanwhile is not hit. Whether it is this user's,
/// the kernel decides (kill(2)): this program runs without privilege.
pub fn send(pid: i32, number: i32) -> Result<()> {
    let shown = format!("process {pid}");
    let sent = match process::open(pid) {
        Ok(held) => signal::send(&held, number),
        // Linux before 5.3 has no pidfds, and some filters of system calls forbid them.
        Err(Errno::ENOSYS | Errno::EPERM) => signal::send_by_number(pid, number),
        Err(cause) => Err(cause),
    };
    sent.map_or_else(
        |cause| match cause {
            Errno::ESRCH => Err(Error::refused(&shown, "there is no such process")),
            Errno::EPERM => Err(Error::refused(&shown, "it is not the job user's")),
            cause => Err(cause).at("send a signal to", &shown),
        },
        Ok,
    )
}
