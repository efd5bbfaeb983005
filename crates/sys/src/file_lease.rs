//! Leases of files (F_SETLEASE, fcntl(2)).

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use super::{Dir, Errno, Result};

/// Proves that no process can write to an open file: none has it open for writing, or mapped
/// writable and shared, and none can receive such a descriptor from a socket's queue. EAGAIN if one
/// can; other errors where it can't be proved, such as EINVAL on a file system without leases.
///
/// It does not prove that no process can write to the file's pages without a descriptor: see
/// [`counts_all_writers`].
///
/// The proof is a read lease, which the kernel grants if there is no writer. It ends when the file
/// is closed, which the caller does at once. The caller's user must own the file, and the
/// descriptor must be read-only. What holds after the proof is for the caller to ensure: no other
/// process may be allowed to open the file for writing. The signal that announces the break of a
/// lease must be ignored ([`ignore_breaks`]).
pub fn prove_no_writer(file: &File) -> Result<()> {
    // SAFETY: the descriptor is open for as long as it is borrowed; the arguments are plain
    // numbers.
    let granted = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    Errno::result(granted).map(drop)
}

/// Whether the leases of the file system of a directory are a proof at all. What is served by
/// another process or machine (FUSE, virtiofs, 9p) can be written to on other ways than this
/// mount, but the kernel grants leases there as if it knew all writers.
pub fn are_proof(dir: &Dir) -> bool {
    use nix::sys::statfs::{FUSE_SUPER_MAGIC, FsType, fstatfs};
    const V9FS_MAGIC: FsType = FsType(0x0102_1997); // linux/magic.h
    let served = [FUSE_SUPER_MAGIC, V9FS_MAGIC];
    fstatfs(dir).is_ok_and(|found| !served.contains(&found.filesystem_type()))
}

/// Whether the file system of a directory lets no process keep pages of a file for writing without
/// a descriptor or a mapping of it. In memory (tmpfs, and an overlay on it) a living process can:
/// it registers them with io_uring(7).
pub fn counts_all_writers(dir: &Dir) -> bool {
    use nix::sys::statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, fstatfs};
    let on_disk = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC];
    fstatfs(dir).is_ok_and(|found| on_disk.contains(&found.filesystem_type()))
}

/// Ignores the signal (SIGIO) that tells this process that another one wants to open a file of
/// which it holds a lease. Its default would end this process.
pub fn ignore_breaks() {
    // SAFETY: SIG_IGN installs no handler.
    unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
}

/// How long a process may keep a lease when another one opens the file (proc_sys_fs(5)).
pub fn break_time() -> Duration {
    const USUAL: u64 = 45;
    let told = std::fs::read_to_string("/proc/sys/fs/lease-break-time").ok();
    Duration::from_secs(told.and_then(|time| time.trim().parse().ok()).unwrap_or(USUAL))
}
