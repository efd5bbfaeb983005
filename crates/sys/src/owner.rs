//! The owner of a file: looking at it and changing it (chown(2)), without following a link.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd as _};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::AtFlags;

use super::{Dir, Errno, Gid, Name, Result, Stat, Uid, xattr};

/// The two ids of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user id.
    pub uid: Uid,
    /// The group id.
    pub gid: Gid,
}

impl Owner {
    /// The owner of a file.
    pub fn of(stat: &Stat) -> Owner {
        Owner { uid: stat.uid(), gid: stat.gid() }
    }
}

/// An entry of a directory, before its owner is changed.
#[derive(Clone, Copy)]
pub struct Entry {
    /// stat(2) of the entry; of a symbolic link itself.
    pub stat: Stat,
    /// It can't be changed, not even by its owner (`chattr +i`, `chattr +a`).
    pub immutable: bool,
}

/// Examines an entry. EXDEV if something is mounted on it, as [`Dir::stat`].
pub fn examine(dir: &Dir, name: Name<'_>) -> Result<Entry> {
    const IMMUTABLE: i32 = libc::STATX_ATTR_IMMUTABLE | libc::STATX_ATTR_APPEND;
    let (stat, attributes) = dir.stat_with_attributes(name)?;
    Ok(Entry { stat, immutable: attributes & IMMUTABLE.unsigned_abs() as u64 != 0 })
}

/// Changes the owner of an entry; of a symbolic link itself.
pub fn set_at(dir: &Dir, name: Name<'_>, owner: Owner) -> Result<()> {
    let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
    nix::unistd::fchownat(dir, name.os(), Some(owner.uid), Some(owner.gid), flags)
}

/// Changes the owner of an open file or directory.
pub fn set(file: &impl AsFd, owner: Owner) -> Result<()> {
    nix::unistd::fchown(file, Some(owner.uid), Some(owner.gid))
}

/// Set once the kernel has said that it has no listxattrat(2), or a seccomp filter has.
static NO_LISTXATTRAT: AtomicBool = AtomicBool::new(false);

/// The list of names of an entry's attributes, as [`xattr::list`], without opening it; of a
/// symbolic link itself.
pub fn attributes_at(dir: &Dir, name: Name<'_>, names: &mut Vec<u8>) -> Result<()> {
    // Linux 6.13; the number is the same on every architecture.
    const LISTXATTRAT: libc::c_long = 465;
    if !NO_LISTXATTRAT.load(Ordering::Relaxed) {
        let name = CString::new(name.bytes()).map_err(|_| Errno::EINVAL)?;
        let fd = dir.as_fd().as_raw_fd();
        let listed = xattr::fill(names, |buffer, room| {
            // SAFETY: the name ends with a NUL; writes at most `room` bytes to `buffer`, which has
            // that many.
            let status = unsafe {
                let flags = libc::AT_SYMLINK_NOFOLLOW;
                libc::syscall(LISTXATTRAT, fd, name.as_ptr(), flags, buffer, room)
            };
            status as isize
        });
        match listed {
            Err(Errno::ENOSYS | Errno::EPERM) => NO_LISTXATTRAT.store(true, Ordering::Relaxed),
            listed => return listed,
        }
    }
    // The kernel's own link leads to the open directory, whatever its path is now.
    let prefix = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd());
    let path =
        CString::new([prefix.as_bytes(), name.bytes()].concat()).map_err(|_| Errno::EINVAL)?;
    xattr::fill(names, |buffer, room| {
        // SAFETY: the path ends with a NUL; writes at most `room` bytes to `buffer`, which has that
        // many.
        unsafe { libc::llistxattr(path.as_ptr(), buffer.cast(), room) }
    })
}

/// Whether no user can make a hard link to a file that it neither owns nor may write to
/// (`fs.protected_hardlinks`, proc_sys_fs(5)).
pub fn hard_links_are_protected() -> bool {
    std::fs::read("/proc/sys/fs/protected_hardlinks").is_ok_and(|value| value.starts_with(b"1"))
}
