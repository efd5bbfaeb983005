//! Descriptors that somebody else has passed to this process.

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Errno, Result};

/// A descriptor from a process that is not trusted. Its file may be on a file system of the
/// sender's own (FUSE), where everything, even closing it, can wait for as long as the sender
/// likes: so nothing is done to it before it is known to be harmless, and one that is not stays
/// open until this process has ended (see [`Passed::regular_on`]).
#[derive(Debug)]
pub struct Passed(Option<OwnedFd>);

impl Passed {
    /// Takes over a descriptor that the kernel has just put into our table.
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Passed(Some(descriptor))
    }

    /// The file, if it is a regular one on this device. Otherwise EBADF.
    pub fn regular_on(mut self, device: u64) -> Result<File> {
        match self.0.take() {
            Some(descriptor) if kind_and_device(&descriptor) == Some((libc::S_IFREG, device)) => {
                Ok(File::from(descriptor))
            }
            refused => {
                self.0 = refused;
                Err(Errno::EBADF)
            }
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        if let Some(descriptor) = self.0.take() {
            std::mem::forget(descriptor);
            close_after_death();
        }
    }
}

/// The type bits of a file and its device, as far as the kernel knows them without asking the file
/// system.
fn kind_and_device(descriptor: &OwnedFd) -> Option<(u32, u64)> {
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    // SAFETY: the path is an empty string; writes one structure to `found`, of which all-zero is a
    // valid value.
    let found = unsafe {
        let status = libc::statx(
            descriptor.as_raw_fd(),
            c"".as_ptr(),
            flags,
            libc::STATX_TYPE,
            found.as_mut_ptr(),
        );
        match Errno::result(status) {
            Ok(_) => found.assume_init(),
            // Before Linux 4.11, or under a seccomp filter that does not know the call.
            Err(Errno::ENOSYS | Errno::EPERM) => {
                let stat = nix::sys::stat::fstat(descriptor).ok()?;
                return Some((stat.st_mode & libc::S_IFMT, stat.st_dev));
            }
            Err(_) => return None,
        }
    };
    Some((
        u32::from(found.stx_mode) & libc::S_IFMT,
        libc::makedev(found.stx_dev_major, found.stx_dev_minor),
    ))
}

/// Whether a process is waiting for our end already.
static HEIR: AtomicBool = AtomicBool::new(false);

/// The descriptors that are closed one by one after our death. Those with higher numbers are the
/// rest.
const ONE_BY_ONE: libc::c_int = 1024;

/// Lets this process end although closing one of its descriptors may take for ever: a child that
/// shares the table of descriptors closes them after our death, the caller's 0, 1 and 2 first of
/// all. If there can't be a child, the descriptors are closed by our own end.
///
/// The child must not simply die with us. A dying process lets go of its files only after it has
/// gone through all of them, and one that hangs would keep the others, and with them whoever reads
/// the caller's pipe to its end.
pub(super) fn close_after_death() {
    if HEIR.swap(true, Ordering::Relaxed) {
        return;
    }
    let parent = nix::unistd::getpid();
    // SAFETY: without CLONE_VM the child has a copy of the memory, and calls nothing but system
    // calls until it dies. A set of signals is 8 bytes for the kernel; no time and no place for
    // details are given.
    unsafe {
        if libc::syscall(libc::SYS_clone, libc::CLONE_FILES | libc::SIGCHLD, 0, 0, 0, 0) == 0 {
            let all = u64::MAX;
            libc::syscall(libc::SYS_setsid);
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, 0, 8);
            libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGTERM, 0, 0, 0);
            while nix::unistd::getppid() == parent {
                libc::syscall(libc::SYS_rt_sigtimedwait, &raw const all, 0, 0, 8);
            }
            for number in 0..ONE_BY_ONE {
                libc::syscall(libc::SYS_close, number);
            }
            libc::syscall(libc::SYS_exit_group, 0);
        }
    }
}
