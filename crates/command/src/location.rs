//! Where a file is, in terms that stay valid in other mount namespaces.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use sys::mount;

/// How long a file counts as existing after its last use, where its file system cannot be seen.
const UNSEEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// A file that exists, or has existed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Its absolute path, in which no directory is a symbolic link.
    pub path: PathBuf,
    /// Its file system, and its path from the root of that: the same in every mount namespace of
    /// this machine. Two jobs can see different files under one path.
    pub place: Vec<u8>,
}

impl Location {
    /// The location of a path as this process sees it.
    pub fn of(path: PathBuf) -> sys::Result<Location> {
        let place = mount::place_of(&path)?;
        Ok(Location { path, place })
    }

    /// Whether the file does not exist any more. If this process sees another file system at the
    /// path, as in another mount namespace, the file counts as gone only when its last use was long
    /// ago: after a restart of the machine, a file system can have another number.
    pub fn is_gone(&self, last_use: SystemTime) -> bool {
        let is_missing = |error: std::io::Error| {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        };
        if !fs::symlink_metadata(&self.path).is_err_and(is_missing) {
            return false;
        }
        let is_seen = mount::place_of(&self.path).is_ok_and(|place| place == self.place);
        is_seen || last_use.elapsed().is_ok_and(|time| time > UNSEEN)
    }
}
