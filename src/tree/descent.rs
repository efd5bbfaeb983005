//! The way from the top of a tree down to where a walk is.

use crate::error::{Context as _, Error, Result};
use crate::sys::{Dir, Name};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::DEEPEST;

/// So many of the lowest directories stay open; those above are opened again on the way back. It keeps a walk of the deepest
/// tree below the usual limit of 1,024 descriptors.
const KEPT_OPEN: usize = 256;

/// The most bytes of a path that are kept for messages.
const LONGEST_SHOWN: usize = 4096;

/// A stack of directories, each a subdirectory of the one below it in the stack.
pub struct Descent {
    levels: Vec<Level>,
    /// The path of the lowest directory, for messages; and its length at each level.
    path: Vec<u8>,
}

struct Level {
    /// None while the directory is closed because the walk is deep below it.
    dir: Option<Dir>,
    /// Device and inode: opening it again must lead to the same directory.
    identity: (u64, u64),
    path_length: usize,
}

impl Descent {
    /// Starts at an open directory, shown as `path` in messages.
    pub fn new(top: Dir, path: impl AsRef<OsStr>) -> Result<Self> {
        let mut descent = Descent { levels: Vec::new(), path: path.as_ref().as_bytes().to_vec() };
        descent.push(top)?;
        Ok(descent)
    }

    /// The directory where the walk is.
    pub fn here(&self) -> Result<&Dir> {
        let lowest = self.levels.last().and_then(|level| level.dir.as_ref());
        lowest.ok_or_else(|| Error::refused(self.path(), "the walk has left its tree"))
    }

    /// How many levels below the top the walk is.
    pub fn depth(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    /// The path of the directory where the walk is, for messages only.
    pub fn path(&self) -> &OsStr {
        OsStr::from_bytes(&self.path)
    }

    /// The path of an entry of this directory, for messages only.
    pub fn path_of(&self, name: Name<'_>) -> std::ffi::OsString {
        let mut path = self.path().to_os_string();
        path.push("/");
        path.push(name.os());
        path
    }

    /// Refuses a subdirectory that would be too deep to cross over. What is only removed may be deeper.
    pub fn check_depth(&self) -> Result<()> {
        if self.depth() < DEEPEST {
            return Ok(());
        }
        Err(Error::refused(self.path(), format!("the directories below it are deeper than {DEEPEST} levels")))
    }

    /// Goes down into an open subdirectory of this directory.
    pub fn enter(&mut self, name: Name<'_>, dir: Dir) -> Result<()> {
        let length = self.path.len();
        if length < LONGEST_SHOWN {
            self.path.push(b'/');
            self.path.extend_from_slice(name.bytes());
        }
        if let Err(error) = self.push(dir) {
            self.path.truncate(length);
            return Err(error);
        }
        if let Some(above) = self.levels.len().checked_sub(KEPT_OPEN + 1) {
            self.levels[above].dir = None;
        }
        Ok(())
    }

    /// Goes back up; the directory that was left is returned.
    pub fn leave(&mut self) -> Result<Option<Dir>> {
        let Some(left) = self.levels.pop() else {
            return Ok(None);
        };
        if let Some(above) = self.levels.last_mut() {
            if let (None, Some(dir)) = (&above.dir, &left.dir) {
                let parent = dir.open_parent().at("go back up from", OsStr::from_bytes(&self.path))?;
                let found = parent.stat_self().at("examine the parent of", OsStr::from_bytes(&self.path))?;
                if found.identity() != above.identity {
                    return Err(Error::refused(self.path(), "somebody moved this directory while it was walked"));
                }
                above.dir = Some(parent);
            }
            self.path.truncate(above.path_length);
        }
        Ok(left.dir)
    }

    fn push(&mut self, dir: Dir) -> Result<()> {
        let identity = dir.stat_self().at("examine", self.path())?.identity();
        self.levels.push(Level { dir: Some(dir), identity, path_length: self.path.len() });
        Ok(())
    }
}
