//! Processes: who we are, starting others, and signalling one without a race.

use std::ffi::{CStr, CString};
use std::os::fd::{FromRawFd as _, OwnedFd};

use super::{Errno, Result};

/// The user id that the kernel judges this process by.
pub fn user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// What this process creates is its user's alone, unless it says otherwise; whatever mask the caller had.
pub fn create_privately() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// The process that started this one, or that adopted it.
pub fn parent() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// Becomes another program, without looking for it in PATH. Returns only the reason why it could not.
pub fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    match nix::unistd::execve(program, arguments, environment) {
        Ok(never) => match never {},
        Err(cause) => cause,
    }
}

/// Enters a directory: it becomes the working directory.
pub fn enter(path: &std::path::Path) -> Result<()> {
    nix::unistd::chdir(path)
}

/// Whether a process of this number exists, as far as this process may know: true also if it is somebody else's.
pub fn exists(pid: i32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// A descriptor that stands for this very process, never for a later one with the same number (pidfd_open(2)).
pub fn open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: plain numbers; the kernel returns a new close-on-exec descriptor, which nobody else knows of.
    unsafe {
        let number = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(number as libc::c_int))
    }
}
