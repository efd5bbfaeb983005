//! The way from the top of a tree down to where a walk is.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::OnceLock;

use error::{Context as _, Error, Result};
use sys::{Dir, Name, rlimit};

use super::DEEPEST;

/// So many of the lowest directories stay open, and the top; those between are opened again on the
/// way back. It keeps a walk of the deepest tree below the usual limit of 1,024 descriptors, and
/// below a quarter of any other.
fn kept_open() -> usize {
    const MOST: usize = 256;
    static KEPT_OPEN: OnceLock<usize> = OnceLock::new();
    *KEPT_OPEN.get_or_init(|| {
        let limit = rlimit::nofile()
            .ok()
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(usize::MAX);
        (limit / 4).clamp(2, MOST)
    })
}

/// The most bytes of a path that are kept.
const LONGEST_SHOWN: usize = 4096;

/// A stack of directories, each a subdirectory of the one below it in the stack.
pub struct Descent {
    levels: Vec<Level>,
    /// The path of the lowest directory, as far as it is kept.
    path: Vec<u8>,
}

struct Level {
    dir: Open,
    /// The length of its path.
    path_length: usize,
}

enum Open {
    Yes(Dir),
    /// Closed while the walk is deep below it. Opening it again must lead to the same device and
    /// inode.
    No((u64, u64)),
}

impl Descent {
    /// Starts at an open directory, shown as `path` in messages.
    pub fn new(top: Dir, path: impl AsRef<OsStr>) -> Self {
        let path = path.as_ref().as_bytes().to_vec();
        Descent { levels: vec![Level { dir: Open::Yes(top), path_length: path.len() }], path }
    }

    /// The directory where the walk is.
    pub fn here(&self) -> Result<&Dir> {
        match self.levels.last() {
            Some(Level { dir: Open::Yes(dir), .. }) => Ok(dir),
            _ => Err(self.lost()),
        }
    }

    /// The directory where the walk began.
    pub fn top(&self) -> Result<&Dir> {
        match self.levels.first() {
            Some(Level { dir: Open::Yes(dir), .. }) => Ok(dir),
            _ => Err(self.lost()),
        }
    }

    /// How many levels below the top the walk is.
    pub fn depth(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    /// The path of the directory where the walk is, for messages.
    pub fn path(&self) -> &OsStr {
        OsStr::from_bytes(&self.path)
    }

    /// The path of an entry of this directory, for messages.
    pub fn path_of(&self, name: Name<'_>) -> OsString {
        let mut path = self.path().to_os_string();
        path.push("/");
        path.push(name.os());
        path
    }

    /// The path of an entry of this directory from the top on; none if it is too long to be kept,
    /// or for the kernel.
    pub fn below_top(&self, name: Name<'_>) -> Option<Vec<u8>> {
        let here = self
            .path
            .get(self.levels.first()?.path_length..)
            .filter(|_| self.path.len() < LONGEST_SHOWN)?;
        Some(match here.strip_prefix(b"/") {
            Some(here) => [here, b"/", name.bytes()].concat(),
            None => name.bytes().to_vec(),
        })
    }

    /// Refuses a subdirectory that would be too deep to cross over. What is only removed may be
    /// deeper.
    pub fn check_depth(&self) -> Result<()> {
        if self.depth() < DEEPEST {
            return Ok(());
        }
        Err(Error::refused(
            self.path(),
            format!("the directories below it are deeper than {DEEPEST} levels"),
        ))
    }

    /// Goes down into an open subdirectory of this directory.
    pub fn enter(&mut self, name: Name<'_>, dir: Dir) -> Result<()> {
        if let Some(above) = self.levels.len().checked_sub(kept_open()).filter(|above| *above > 0) {
            if let Open::Yes(dir) = &self.levels[above].dir {
                let identity =
                    dir.stat_self().at("examine a directory above", self.path())?.identity();
                self.levels[above].dir = Open::No(identity);
            }
        }
        if self.path.len() < LONGEST_SHOWN {
            self.path.push(b'/');
            self.path.extend_from_slice(name.bytes());
        }
        self.levels.push(Level { dir: Open::Yes(dir), path_length: self.path.len() });
        Ok(())
    }

    /// Goes back up; the directory that was left is returned.
    pub fn leave(&mut self) -> Result<Option<Dir>> {
        let Some(Level { dir: Open::Yes(left), .. }) = self.levels.pop() else {
            return Ok(None);
        };
        if let Some(above) = self.levels.last_mut() {
            if let Open::No(identity) = above.dir {
                let parent =
                    left.open_parent().at("go back up from", OsStr::from_bytes(&self.path))?;
                let found = parent
                    .stat_self()
                    .at("examine the parent of", OsStr::from_bytes(&self.path))?;
                if found.identity() != identity {
                    return Err(Error::refused(
                        self.path(),
                        "somebody moved this directory while it was walked",
                    ));
                }
                above.dir = Open::Yes(parent);
            }
            self.path.truncate(above.path_length);
        }
        Ok(Some(left))
    }

    fn lost(&self) -> Error {
        Error::refused(self.path(), "the walk has left its tree")
    }
}
