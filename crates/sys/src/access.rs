//! What the effective user of this process may do with a file (access(2), path_resolution(7)).

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess};

use super::Errno;

/// Whether this user may execute a file.
pub fn may_execute(path: &Path) -> bool {
    path.is_file() && eaccess(path, AccessFlags::X_OK).is_ok()
}

/// Whether this user may read a file.
pub fn may_read(path: &Path) -> bool {
    eaccess(path, AccessFlags::R_OK).is_ok()
}

/// Whether this user may write to a file.
pub fn may_write(path: &Path) -> bool {
    eaccess(path, AccessFlags::W_OK).is_ok()
}

/// Whether this user may create and rename entries of a directory.
pub fn may_write_directory(directory: &Path) -> bool {
    eaccess(directory, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// The first directory of a path for which this user has no search permission.
pub fn first_unsearchable(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let mut directories: Vec<&Path> = path.ancestors().skip(1).collect();
    directories.reverse();
    let is_unsearchable =
        |directory: &&Path| eaccess(*directory, AccessFlags::X_OK) == Err(Errno::EACCES);
    directories.into_iter().find(is_unsearchable).map(Path::to_owned)
}
