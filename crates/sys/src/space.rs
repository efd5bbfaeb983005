//! The free space of a file system, and the options of a mount (statvfs(3)).

use std::fs::File;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::statvfs::FsFlags;

use super::{Dir, Result, file};

/// What is used of a file system, and what is free for ordinary users.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Bytes in use.
    pub used: u64,
    /// Bytes free.
    pub free: u64,
    /// Files in use.
    pub files_used: u64,
    /// Files free.
    pub files_free: u64,
}

impl Space {
    /// The space of the file system that a directory is on. None if the file system reports no
    /// number of files (Btrfs): its other numbers say little about what fits.
    pub fn of(dir: &Dir) -> Result<Option<Space>> {
        let found = nix::sys::statvfs::fstatvfs(dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
        Ok((found.files() > 0).then(|| Space {
            used: bytes(found.blocks().saturating_sub(found.blocks_free())),
            free: bytes(found.blocks_available()),
            files_used: found.files().saturating_sub(found.files_free()),
            files_free: found.files_available(),
        }))
    }
}

/// What a mount does not allow.
#[derive(Clone, Copy, Debug)]
pub struct Restrictions {
    /// Programs on it cannot be executed.
    pub noexec: bool,
    /// The set-user-ID bit of programs on it has no effect.
    pub nosuid: bool,
    /// Files on it cannot be changed.
    pub read_only: bool,
}

impl Restrictions {
    /// Those of the mount that a directory is on.
    pub fn of(dir: &Dir) -> Result<Restrictions> {
        nix::sys::statvfs::fstatvfs(dir).map(|found| Restrictions::from_flags(found.flags()))
    }

    /// Those of the mount that a file is on.
    pub fn at(path: &Path) -> Result<Restrictions> {
        nix::sys::statvfs::statvfs(path).map(|found| Restrictions::from_flags(found.flags()))
    }

    fn from_flags(flags: FsFlags) -> Restrictions {
        Restrictions {
            noexec: flags.contains(FsFlags::ST_NOEXEC),
            nosuid: flags.contains(FsFlags::ST_NOSUID),
            read_only: flags.contains(FsFlags::ST_RDONLY),
        }
    }
}

/// Whether files in this directory can share their content ([`file::share_content`]). That is tried
/// with two files without names (O_TMPFILE).
pub fn can_share_content(dir: &Dir) -> bool {
    let nameless = || -> Result<File> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        nix::fcntl::openat(dir, c".", flags, Mode::S_IRUSR).map(File::from)
    };
    nameless()
        .is_ok_and(|one| nameless().is_ok_and(|other| file::share_content(&one, &other).is_ok()))
}
