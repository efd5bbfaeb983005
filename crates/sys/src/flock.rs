//! Locks on files between processes (flock(2), fcntl(2)).

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::{Duration, Instant};

use nix::fcntl::FcntlArg;

use super::{Errno, Result};

/// The kind of a lock.
#[derive(Clone, Copy, Debug)]
pub enum Lock {
    /// No other process has a lock on the file at the same time (LOCK_EX).
    Exclusive,
    /// Other processes can have shared locks on the file at the same time (LOCK_SH).
    Shared,
}

/// Locks a file until it is closed, in all processes that share the open file, or unlocked. EAGAIN
/// if that is not possible within the `timeout`.
pub fn lock(file: &File, kind: Lock, timeout: Duration) -> Result<()> {
    let end = Instant::now() + timeout;
    let kind = match kind {
        Lock::Exclusive => libc::LOCK_EX,
        Lock::Shared => libc::LOCK_SH,
    };
    retry(end, || flock(file, kind | libc::LOCK_NB))
}

/// As [`lock`], shared, by a record lock on the whole file, which also works between the clients of
/// an NFS server (fcntl(2), F_OFD_SETLK).
pub fn lock_record_shared(file: &File, timeout: Duration) -> Result<()> {
    let whole = libc::flock {
        l_type: libc::F_RDLCK as _,
        l_whence: libc::SEEK_SET as _,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let end = Instant::now() + timeout;
    retry(end, || nix::fcntl::fcntl(file, FcntlArg::F_OFD_SETLK(&whole)).map(drop))
}

/// Calls `lock` until no other process has the lock, or the time has come.
fn retry(end: Instant, lock: impl Fn() -> Result<()>) -> Result<()> {
    loop {
        match lock() {
            Err(Errno::EWOULDBLOCK | Errno::EACCES) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(Errno::EINTR) => {}
            locked => return locked,
        }
    }
}

/// Unlocks a file for all processes that share the open file.
pub fn unlock(file: &File) {
    let _ = flock(file, libc::LOCK_UN);
}

/// As [`lock`], exclusive and without a timeout, for a directory or file.
pub(super) fn try_lock(file: &impl AsFd) -> Result<()> {
    flock(file, libc::LOCK_EX | libc::LOCK_NB)
}

/// nix's `Flock` is not used: when it is dropped it unlocks the file for a child, too, that shares
/// it and still needs the lock.
fn flock(file: &impl AsFd, operation: libc::c_int) -> Result<()> {
    // SAFETY: the descriptor is open as long as it is borrowed.
    Errno::result(unsafe { libc::flock(file.as_fd().as_raw_fd(), operation) }).map(drop)
}
