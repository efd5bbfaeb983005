//! Descriptors that refer to one process, and never to a later one with the same id (pidfd_open(2),
//! pidfd_send_signal(2)). Neither the standard library nor nix has these calls.

use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::{Errno, Pid, Result, fd};

/// Opens a process.
pub fn open(pid: Pid) -> Result<OwnedFd> {
    // SAFETY: takes numbers; returns a new close-on-exec descriptor, which has no other owner.
    unsafe {
        let number = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0))?;
        Ok(OwnedFd::from_raw_fd(number as libc::c_int))
    }
}

/// Sends a signal to a process; with 0 the kernel only checks whether that is permitted.
pub fn send_signal(process: &OwnedFd, signal: i32) -> Result<()> {
    // SAFETY: the descriptor is open as long as it is borrowed; no siginfo_t is passed.
    let status = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    Errno::result(status).map(drop)
}

/// Waits until all threads of a process have ended, no longer than `limit`; returns whether they
/// have.
pub fn wait_for_exit(process: &OwnedFd, limit: Duration) -> Result<bool> {
    let end = Instant::now() + limit;
    loop {
        let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut polled, fd::poll_timeout(end)) {
            Ok(0) if Instant::now() < end => {}
            Err(Errno::EINTR) => {}
            ready => return ready.map(|ready| ready > 0),
        }
    }
}
