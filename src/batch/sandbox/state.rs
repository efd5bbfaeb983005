//! The state of a sandbox, read from the directories that have its names.
//!
//! An unmarked retained directory contains a complete copy of the data, and that copy counts: a
//! helper was killed while it had both.

use error::{Context as _, Error, Result};
use sys::{Errno, Kind, Name, Rename, Uid};

use super::Sandbox;

/// The mode of the retained directory: no other user can enter it, and the sticky bit marks it as
/// one.
pub const MARK: u32 = 0o1700;

/// What has the name `<sandbox>.condor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retained {
    /// Nothing: the sandbox is the batch user's, before or after a job.
    Absent,
    /// Nothing, but a marked directory with a temporary name is beside the sandbox: a helper was
    /// killed between two renames.
    Aside,
    /// The retained proxy: the data is in the sandbox.
    Proxy,
    /// A complete copy of the data: a helper was killed.
    Data,
}

/// What has the name `<sandbox>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A directory of the batch user.
    Mine,
    /// An empty directory of the batch user that keeps the name while the job's directory is taken
    /// back by a change of owner: that one is in the retained directory.
    Placeholder,
    /// A directory of another user.
    Theirs(Uid),
    /// Anything but a directory, and its owner.
    Other(Uid),
}

impl Sandbox {
    /// What has the sandbox's name now.
    pub fn found(&self) -> Result<Found> {
        match self.place.parent.stat(self.place.name.name()) {
            Err(Errno::ENOENT) => Ok(Found::Nothing),
            // The owner that a mounted file system shows is the mounting user's choice.
            Err(Errno::EXDEV) => {
                Err(Error::refused(self.path(), "something is mounted on it; it was not changed"))
            }
            stat => {
                let stat = stat.at("examine", self.path())?;
                Ok(match stat.kind() {
                    Kind::Directory if stat.uid() == self.user => {
                        if stat.mode() == MARK && self.is_empty()? {
                            Found::Placeholder
                        } else {
                            Found::Mine
                        }
                    }
                    Kind::Directory => Found::Theirs(stat.uid()),
                    _ => Found::Other(stat.uid()),
                })
            }
        }
    }

    fn is_empty(&self) -> Result<bool> {
        let dir = self.place.parent.open_dir(self.place.name.name()).at("open", self.path())?;
        let listed = dir.for_each_entry(|_, _| Err(()));
        Ok(listed.at("read the directory", self.path())?.is_ok())
    }

    /// What has the retained name now. Anything but a directory of the batch user is an error.
    pub fn retained(&self) -> Result<Retained> {
        let stat = match self.place.parent.stat(self.retained.name()) {
            Err(Errno::ENOENT) if self.marked_aside().is_empty() => return Ok(Retained::Absent),
            Err(Errno::ENOENT) => return Ok(Retained::Aside),
            stat => stat.at("examine", self.retained_path())?,
        };
        if stat.kind() != Kind::Directory || stat.uid() != self.user {
            let why = format!(
                "it is not a directory that belongs to you (owner: uid {}); it was not changed",
                stat.uid()
            );
            return Err(Error::refused(self.retained_path(), why));
        }
        if stat.mode() == MARK || self.is_of_shell_helpers()? {
            Ok(Retained::Proxy)
        } else {
            Ok(Retained::Data)
        }
    }

    /// Whether the unmarked retained directory was made by the shell helpers, which set no mark: it
    /// contains the proxy and nothing else, and the sandbox is another user's.
    ///
    /// A helper that was killed leaves the same state where the sandbox contains nothing but the
    /// proxy. Then both directories are complete copies.
    fn is_of_shell_helpers(&self) -> Result<bool> {
        if !matches!(self.found()?, Found::Theirs(_)) {
            return Ok(false);
        }
        let (mut proxies, mut others) = (0, 0);
        let listed = self.open_retained()?.for_each_entry(|name, _| {
            *(if name == self.proxy.name() { &mut proxies } else { &mut others }) += 1;
            Ok::<_, Error>(())
        });
        listed.at("read the directory", self.retained_path())??;
        Ok((proxies, others) == (1, 0))
    }

    /// As [`Sandbox::retained`], before an operation that changes the sandbox: a marked directory
    /// with a temporary name gets the retained name back, and a retained directory of the shell
    /// helpers gets the mark.
    pub fn settle(&self) -> Result<Retained> {
        let retained = self.retained()?;
        match retained {
            Retained::Aside => {
                if let Some(name) = self.marked_aside().first() {
                    let (parent, to) = (&self.place.parent, self.retained.name());
                    let renamed = parent.rename(name.name(), to, Rename::NoReplace);
                    renamed.at("give its name back to", self.retained_path())?;
                }
                Ok(Retained::Proxy)
            }
            Retained::Proxy => self.mark(&self.open_retained()?).map(|()| retained),
            Retained::Absent | Retained::Data => Ok(retained),
        }
    }

    /// Whether an entry of the parent directory is a marked directory of the batch user.
    pub(super) fn is_marked(&self, name: Name<'_>) -> bool {
        let stat = self.place.parent.stat(name);
        stat.is_ok_and(|stat| {
            stat.kind() == Kind::Directory && stat.uid() == self.user && stat.mode() == MARK
        })
    }
}
