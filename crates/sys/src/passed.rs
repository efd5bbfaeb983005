//! Descriptors that another process has passed to this one (SCM_RIGHTS, unix(7)).

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Errno, Result, stat};

/// A descriptor from a process that is not trusted. Its file may be on a file system of the sender
/// (FUSE), which can delay every operation, also the close, without limit. So no operation is done
/// on it before it is known to be harmless ([`Passed::regular_on`]). Any other descriptor stays
/// open until this process has ended.
#[derive(Debug)]
pub struct Passed(Option<OwnedFd>);

impl Passed {
    /// Takes over a descriptor that this process has just received.
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Passed(Some(descriptor))
    }

    /// The file, if it is a regular file on this device. Otherwise EBADF.
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
            close_after_exit();
        }
    }
}

/// The type bits of a file and its device, as the kernel knows them without a request to the file
/// system.
fn kind_and_device(descriptor: &OwnedFd) -> Option<(u32, u64)> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    match stat::statx(descriptor, c"", flags, libc::STATX_TYPE) {
        Ok(found) => Some((
            u32::from(found.stx_mode) & libc::S_IFMT,
            libc::makedev(found.stx_dev_major, found.stx_dev_minor),
        )),
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let stat = nix::sys::stat::fstat(descriptor).ok()?;
            Some((stat.st_mode & libc::S_IFMT, stat.st_dev))
        }
        Err(_) => None,
    }
}

/// Whether [`close_after_exit`] has made its child.
static HAS_CHILD: AtomicBool = AtomicBool::new(false);

/// The child closes the descriptors below this number one by one. The kernel closes the others when
/// the child ends.
const CLOSED_ONE_BY_ONE: libc::c_int = 1024;

/// Lets this process end even if the close of one of its descriptors takes without limit: a child
/// that shares the table of descriptors closes them after this process has ended, first 0, 1 and 2.
/// Without a child the end of this process closes the descriptors.
///
/// The child must not simply be killed with this process. A process that ends releases its files
/// only after it has closed all of them: while the close of one hangs, the others would stay open,
/// and the readers of the caller's pipes would wait.
pub(super) fn close_after_exit() {
    if HAS_CHILD.swap(true, Ordering::Relaxed) {
        return;
    }
    let parent = nix::unistd::getpid();
    // A set of signals has 8 bytes for the kernel. The other arguments have the width of the
    // registers that the kernel reads.
    let (all, set_bytes) = (u64::MAX, size_of::<u64>());
    let (null, none) = (std::ptr::null::<u8>(), 0 as libc::c_ulong);
    let flags = (libc::CLONE_FILES | libc::SIGCHLD) as libc::c_ulong;
    let end_of_parent = libc::SIGTERM as libc::c_ulong;
    // SAFETY: without CLONE_VM the child has a copy of the memory; until it ends it makes system
    // calls only, so it needs no lock that another thread may have had. It closes descriptors after
    // the process whose values own them has ended. Without a stack it continues on a copy of this
    // one. `all` lives during the calls; null pointers are passed for the old set, the details and
    // the time.
    unsafe {
        if libc::syscall(libc::SYS_clone, flags, none, none, none, none) == 0 {
            libc::syscall(libc::SYS_setsid);
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const all,
                null,
                set_bytes,
            );
            libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, end_of_parent, none, none, none);
            while nix::unistd::getppid() == parent {
                libc::syscall(libc::SYS_rt_sigtimedwait, &raw const all, null, null, set_bytes);
            }
            for number in 0..CLOSED_ONE_BY_ONE {
                libc::syscall(libc::SYS_close, number);
            }
            libc::syscall(libc::SYS_exit_group, 0);
        }
    }
}
