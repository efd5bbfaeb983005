//! The room on a file system.

use std::fs::File;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::statvfs::FsFlags;

use super::{Dir, Result, file};

/// What a file system has, and what is free for ordinary users (statvfs(3)).
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Bytes in use.
    pub used: u64,
    /// Bytes free.
    pub free: u64,
    /// Files in use.
    pub files_used: u64,
    /// How many more files there may be.
    pub files_free: u64,
}

impl Space {
    /// The room where a directory is; none on a file system that does not count its files as others
    /// do (Btrfs): its other numbers say little about what fits.
    pub fn around(dir: &Dir) -> Result<Option<Space>> {
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

/// What a mount does not allow (statvfs(3)).
#[derive(Clone, Copy, Debug)]
pub struct Restrictions {
    /// Programs on it can't be executed.
    pub noexec: bool,
    /// Nothing on it can be changed.
    pub read_only: bool,
}

impl Restrictions {
    /// Those of the mount that a directory is on.
    pub fn of(dir: &Dir) -> Result<Restrictions> {
        nix::sys::statvfs::fstatvfs(dir).map(|found| Restrictions::among(found.flags()))
    }

    /// Those of the mount that a file is on.
    pub fn at(path: &Path) -> Result<Restrictions> {
        nix::sys::statvfs::statvfs(path).map(|found| Restrictions::among(found.flags()))
    }

    fn among(flags: FsFlags) -> Restrictions {
        Restrictions {
            noexec: flags.contains(FsFlags::ST_NOEXEC),
            read_only: flags.contains(FsFlags::ST_RDONLY),
        }
    }
}

/// Whether files in this directory can share their content: tried, with two files that have no
/// name.
pub fn shares_content(dir: &Dir) -> bool {
    let nameless = || -> Result<File> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        nix::fcntl::openat(dir, c".", flags, Mode::S_IRUSR).map(File::from)
    };
    nameless()
        .is_ok_and(|one| nameless().is_ok_and(|other| file::share_content(&one, &other).is_ok()))
}
