//! What the kernel tells of a file.

use nix::sys::stat::FileStat;

use super::Uid;

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

/// A point in time as file systems keep it: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Time {
    /// Seconds since 1970; negative before.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// stat(2) of one file.
#[derive(Clone, Copy)]
pub struct Stat(pub(super) FileStat);

impl Stat {
    /// What kind of file it is.
    pub fn kind(&self) -> Kind {
        match self.0.st_mode & libc::S_IFMT {
            libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Symlink,
            _ => Kind::Special,
        }
    }

    /// The permission bits with set-user-id, set-group-id and sticky: `0o7777` at most.
    pub fn mode(&self) -> u32 {
        self.0.st_mode & 0o7777
    }

    /// The owner.
    pub fn uid(&self) -> Uid {
        Uid::from_raw(self.0.st_uid)
    }

    /// Device and inode: the same for two names of the same file, and only for these.
    pub fn identity(&self) -> (u64, u64) {
        (self.0.st_dev, self.0.st_ino)
    }

    /// How many names the file has.
    #[allow(clippy::useless_conversion)] // the field is 32 bits wide on some architectures
    pub fn names(&self) -> u64 {
        u64::from(self.0.st_nlink)
    }

    /// The length in bytes.
    pub fn size(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or(0)
    }

    /// The bytes that its content takes, as far as it reaches: not those that a file system has set
    /// aside behind its end.
    pub fn allocated(&self) -> u64 {
        u64::try_from(self.0.st_blocks).unwrap_or(0).saturating_mul(512).min(self.size())
    }

    /// Whether fewer blocks are allocated than the length needs: there may be holes.
    pub fn may_have_holes(&self) -> bool {
        u64::try_from(self.0.st_blocks).unwrap_or(0).saturating_mul(512) < self.size()
    }

    /// When the content last changed.
    pub fn modified(&self) -> Time {
        Time {
            seconds: self.0.st_mtime,
            nanoseconds: u32::try_from(self.0.st_mtime_nsec).unwrap_or(0),
        }
    }
}

impl From<libc::statx> for Stat {
    /// What this type tells of it.
    #[allow(clippy::useless_conversion)] // the fields are of other widths on some architectures
    fn from(found: libc::statx) -> Self {
        // SAFETY: all-zero is a valid value of this structure of numbers.
        let mut stat: FileStat = unsafe { std::mem::zeroed() };
        stat.st_dev = libc::makedev(found.stx_dev_major, found.stx_dev_minor);
        stat.st_ino = found.stx_ino;
        stat.st_mode = u32::from(found.stx_mode);
        stat.st_nlink = found.stx_nlink.into();
        stat.st_uid = found.stx_uid;
        stat.st_size = i64::try_from(found.stx_size).unwrap_or(i64::MAX);
        stat.st_blocks = i64::try_from(found.stx_blocks).unwrap_or(i64::MAX);
        stat.st_mtime = found.stx_mtime.tv_sec;
        stat.st_mtime_nsec = found.stx_mtime.tv_nsec.into();
        Stat(stat)
    }
}
