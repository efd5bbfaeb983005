//! The directories from the top of a tree down to the one that a walk has reached, open.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::OnceLock;

use error::{Context as _, Error, Result};
use sys::{Dir, Name, rlimit};

use super::MAX_DEPTH;

/// How many of the lowest directories stay open, besides the top. Those between are opened again on
/// the way back up. So a walk of the deepest tree stays below the usual limit of 1,024 descriptors,
/// and below a quarter of any other.
fn max_open() -> usize {
    const MOST: usize = 256;
    static MAX_OPEN: OnceLock<usize> = OnceLock::new();
    *MAX_OPEN.get_or_init(|| {
        let limit = rlimit::nofile()
            .ok()
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(usize::MAX);
        (limit / 4).clamp(2, MOST)
    })
}

/// How many bytes of a path are kept.
const MAX_PATH: usize = 4096;

/// A stack of directories, each a subdirectory of the one below it in the stack.
pub struct Walk {
    levels: Vec<Level>,
    /// The path of the current directory, as far as it is kept.
    path: Vec<u8>,
}

struct Level {
    dir: State,
    /// The length of its path.
    path_length: usize,
}

enum State {
    Open(Dir),
    /// Closed while the walk is far below it. Opened again, it must have the same device and inode.
    Closed((u64, u64)),
}

impl Walk {
    /// Starts at an open directory, shown as `path` in messages.
    pub fn new(top: Dir, path: impl AsRef<OsStr>) -> Self {
        let path = path.as_ref().as_bytes().to_vec();
        Walk { levels: vec![Level { dir: State::Open(top), path_length: path.len() }], path }
    }

    /// The directory that the walk has reached.
    pub fn current(&self) -> Result<&Dir> {
        match self.levels.last() {
            Some(Level { dir: State::Open(dir), .. }) => Ok(dir),
            _ => Err(self.not_open()),
        }
    }

    /// The directory where the walk began.
    pub(crate) fn top(&self) -> Result<&Dir> {
        match self.levels.first() {
            Some(Level { dir: State::Open(dir), .. }) => Ok(dir),
            _ => Err(self.not_open()),
        }
    }

    /// How many levels below the top the walk is.
    pub fn depth(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    /// The path of the current directory, for messages.
    pub fn path(&self) -> &OsStr {
        OsStr::from_bytes(&self.path)
    }

    /// The path of an entry of the current directory, for messages.
    pub fn path_of(&self, name: Name<'_>) -> OsString {
        let mut path = self.path().to_os_string();
        path.push("/");
        path.push(name.os());
        path
    }

    /// The path of an entry of the current directory, relative to the top; none if it is longer
    /// than what is kept, or than the kernel takes.
    pub fn below_top(&self, name: Name<'_>) -> Option<Vec<u8>> {
        let here = self
            .path
            .get(self.levels.first()?.path_length..)
            .filter(|_| self.path.len() < MAX_PATH)?;
        Some(match here.strip_prefix(b"/") {
            Some(here) => [here, b"/", name.bytes()].concat(),
            None => name.bytes().to_vec(),
        })
    }

    /// An error if a subdirectory of the current directory is deeper than trees may be. A tree that
    /// is only removed may be deeper.
    pub fn check_depth(&self) -> Result<()> {
        if self.depth() < MAX_DEPTH {
            return Ok(());
        }
        Err(Error::refused(
            self.path(),
            format!("the directories below it are deeper than {MAX_DEPTH} levels"),
        ))
    }

    /// Goes down into a subdirectory of the current directory, which the caller has opened.
    pub fn enter(&mut self, name: Name<'_>, dir: Dir) -> Result<()> {
        if let Some(above) = self.levels.len().checked_sub(max_open()).filter(|above| *above > 0) {
            if let State::Open(dir) = &self.levels[above].dir {
                let identity =
                    dir.stat_self().at("examine a directory above", self.path())?.identity();
                self.levels[above].dir = State::Closed(identity);
            }
        }
        if self.path.len() < MAX_PATH {
            self.path.push(b'/');
            self.path.extend_from_slice(name.bytes());
        }
        self.levels.push(Level { dir: State::Open(dir), path_length: self.path.len() });
        Ok(())
    }

    /// Goes back up. Returns the directory that was left.
    pub fn leave(&mut self) -> Result<Option<Dir>> {
        let Some(Level { dir: State::Open(left), .. }) = self.levels.pop() else {
            return Ok(None);
        };
        if let Some(above) = self.levels.last_mut() {
            if let State::Closed(identity) = above.dir {
                let parent =
                    left.open_parent().at("go back up from", OsStr::from_bytes(&self.path))?;
                let found = parent
                    .stat_self()
                    .at("examine the parent of", OsStr::from_bytes(&self.path))?;
                if found.identity() != identity {
                    return Err(Error::refused(
                        self.path(),
                        "another process moved this directory while it was read",
                    ));
                }
                above.dir = State::Open(parent);
            }
            self.path.truncate(above.path_length);
        }
        Ok(Some(left))
    }

    fn not_open(&self) -> Error {
        Error::refused(self.path(), "the current directory of the walk is not open")
    }
}
