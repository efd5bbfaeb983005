//! The metadata of a file (stat(2), statx(2)).

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::sys::stat::FileStat;

use super::{Errno, Gid, Result, Uid};

/// The kind of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or FIFO.
    Special,
}

/// A timestamp of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Time {
    /// Seconds since 1970; negative before.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// The metadata of one file.
#[derive(Clone, Copy)]
pub struct Stat {
    mode: u32,
    uid: Uid,
    gid: Gid,
    device: u64,
    inode: u64,
    links: u64,
    size: u64,
    blocks: u64,
    modified: Time,
}

impl Stat {
    /// The kind of the file.
    pub fn kind(&self) -> Kind {
        match self.mode & libc::S_IFMT {
            libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Symlink,
            _ => Kind::Special,
        }
    }

    /// The permission bits with set-user-ID, set-group-ID and sticky: `0o7777` at most.
    pub fn mode(&self) -> u32 {
        self.mode & 0o7777
    }

    /// The owner.
    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// The group.
    pub fn gid(&self) -> Gid {
        self.gid
    }

    /// Device and inode: two names are links to one file if and only if these are equal.
    pub fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// How many links (names) the file has.
    pub fn nlink(&self) -> u64 {
        self.links
    }

    /// The length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes that the file system uses for the content, without those that it has reserved
    /// beyond the end of the file.
    pub fn allocated(&self) -> u64 {
        self.blocks.saturating_mul(512).min(self.size)
    }

    /// Whether fewer blocks are allocated than the length needs: there may be holes.
    pub fn may_have_holes(&self) -> bool {
        self.blocks.saturating_mul(512) < self.size
    }

    /// When the content last changed.
    pub fn modified(&self) -> Time {
        self.modified
    }
}

impl From<FileStat> for Stat {
    #[allow(clippy::useless_conversion)] // the fields have other widths on some architectures
    fn from(found: FileStat) -> Self {
        Stat {
            mode: found.st_mode,
            uid: Uid::from_raw(found.st_uid),
            gid: Gid::from_raw(found.st_gid),
            device: found.st_dev,
            inode: found.st_ino,
            links: u64::from(found.st_nlink),
            size: u64::try_from(found.st_size).unwrap_or(0),
            blocks: u64::try_from(found.st_blocks).unwrap_or(0),
            modified: Time {
                seconds: found.st_mtime,
                nanoseconds: u32::try_from(found.st_mtime_nsec).unwrap_or(0),
            },
        }
    }
}

impl From<libc::statx> for Stat {
    fn from(found: libc::statx) -> Self {
        Stat {
            mode: u32::from(found.stx_mode),
            uid: Uid::from_raw(found.stx_uid),
            gid: Gid::from_raw(found.stx_gid),
            device: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            links: u64::from(found.stx_nlink),
            size: found.stx_size,
            blocks: found.stx_blocks,
            modified: Time {
                seconds: found.stx_mtime.tv_sec,
                nanoseconds: found.stx_mtime.tv_nsec,
            },
        }
    }
}

/// statx(2), which neither the standard library nor nix has, of a path below an open directory.
/// ENOSYS before Linux 4.11; ENOSYS or EPERM under a seccomp filter that does not know it.
pub(super) fn statx(dir: &impl AsFd, path: &CStr, flags: i32, mask: u32) -> Result<libc::statx> {
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    // By its number: the standard library declares the C library's function weak. Where both are
    // linked statically and optimised together, that function can be missing (a null pointer).
    // SAFETY: the descriptor is open as long as it is borrowed; the path ends with a NUL; writes
    // one structure to `found`, of which all-zero is a valid value.
    unsafe {
        Errno::result(libc::syscall(
            libc::SYS_statx,
            dir.as_fd().as_raw_fd(),
            path.as_ptr(),
            flags,
            mask,
            found.as_mut_ptr(),
        ))?;
        Ok(found.assume_init())
    }
}
