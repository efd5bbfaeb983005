//! The state of a sandbox, told from what is on disk; no journal.
//!
//! A sandbox at `<sandbox>` has, while a job uses it, a directory `<sandbox>.condor` of the batch user's beside it that holds
//! only the *retained proxy*. That directory is marked by its mode, 01700, which no sandbox has. An unmarked `.condor`
//! of the batch user's holds a complete copy of the data, and wins.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context as _, Error, Result};
use crate::sys::fd::{self, Lock};
use crate::sys::{self, Dir, Errno, Kind, Name, OwnedName, Rename, Time, process};
use crate::tree;
use crate::tree::beside::Place;

/// The mode of the retained directory: nobody else enters it, and the sticky bit tells it from a sandbox.
const MARK: u32 = 0o1700;

/// A credential is smaller: at most what one message to the agent holds.
pub const LONGEST_PROXY: u64 = crate::wire::frame::CHUNK as u64;

/// The names of one sandbox, and who works on it.
#[derive(Debug)]
pub struct Sandbox {
    /// Where it is.
    pub place: Place,
    /// The file name of the proxy in it.
    pub proxy: OwnedName,
    retained: OwnedName,
    /// The batch user.
    user: u32,
}

/// What is found at `<sandbox>.condor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retained {
    /// Nothing: the sandbox is the batch user's, before or after a job.
    Absent,
    /// The retained proxy: the sandbox is the data.
    Proxy,
    /// A complete copy of the data: a helper was killed, and this is what it had got to.
    Data,
}

/// What is found at `<sandbox>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The batch user's own directory.
    Mine,
    /// Another user's directory.
    Theirs(u32),
    /// Something else than a directory; whose.
    Other(u32),
}

impl Sandbox {
    /// The sandbox at an absolute path, with the name that its proxy has in it.
    pub fn find(path: &Path, proxy: &OsStr) -> Result<Self> {
        let proxy = OwnedName::new(proxy.as_bytes().to_vec()).ok_or_else(|| {
            Error::refused(proxy, "the proxy is given as a file name inside the sandbox, without a directory")
        })?;
        let place = Place::find(path)?;
        let retained = OwnedName::new([place.name.name().bytes(), b".condor"].concat())
            .ok_or_else(|| Error::refused(path, "the sandbox's name is too long to make another one from it"))?;
        Ok(Sandbox { place, proxy, retained, user: process::user() })
    }

    /// The sandbox's path.
    pub fn path(&self) -> PathBuf {
        self.place.path_of(self.place.name.name())
    }

    /// The path of the retained directory.
    pub fn retained_path(&self) -> PathBuf {
        self.place.path_of(self.retained.name())
    }

    /// The path of the retained proxy, which every call of the switcher gets as its credential.
    pub fn credential(&self) -> PathBuf {
        self.retained_path().join(self.proxy.name().os())
    }

    /// The value of the family mark for this sandbox's job.
    pub fn family(&self) -> Result<OsString> {
        family_of(&self.retained_path())
    }

    /// The name under which the log follows what is done for this sandbox's job, while there is a retained directory.
    pub fn request(&self) -> Option<String> {
        request(&self.place.parent, self.retained.name())
    }

    /// Lets no other pilot work on it as long as what is returned is kept: an error if one does. (A helper for starters does not ask.)
    pub fn lock(&self) -> Result<Vec<File>> {
        let own = [self.place.name.name(), self.retained.name()].map(|name| (self.place.path_of(name), name));
        let is_own = |name| {
            let found = self.place.parent.stat_unmounted(name);
            found.is_ok_and(|found| found.kind() == Kind::Directory && found.uid() == self.user)
        };
        own.into_iter().filter(|(_, name)| is_own(*name)).map(|(path, _)| lock(&path)).collect()
    }

    /// What is at `<sandbox>` now.
    pub fn found(&self) -> Result<Found> {
        match self.place.parent.stat_unmounted(self.place.name.name()) {
            Err(Errno::ENOENT) => Ok(Found::Nothing),
            // Whose it seems to be is the word of whoever mounted it.
            Err(Errno::EXDEV) => Err(Error::refused(self.path(), "something is mounted on it; it was left alone")),
            stat => {
                let stat = stat.at("examine", self.path())?;
                Ok(match stat.kind() {
                    Kind::Directory if stat.uid() == self.user => Found::Mine,
                    Kind::Directory => Found::Theirs(stat.uid()),
                    _ => Found::Other(stat.uid()),
                })
            }
        }
    }

    /// What is at `<sandbox>.condor` now. A retained directory that lost its name, because a helper was killed
    /// while it had none, gets it back first; one that the shell helpers made gets its mark.
    ///
    /// What is not a directory of the batch user's is an error, and is left alone.
    pub fn retained(&self) -> Result<Retained> {
        let parent = &self.place.parent;
        let stat = match parent.stat_unmounted(self.retained.name()) {
            Err(Errno::ENOENT) => {
                let marked = self.place.leftovers().into_iter().find(|(name, _)| self.is_marked(name.name()));
                let Some((name, _)) = marked else {
                    return Ok(Retained::Absent);
                };
                let back = parent.rename(name.name(), self.retained.name(), Rename::NoReplace);
                back.at("give its name back to", self.retained_path())?;
                return Ok(Retained::Proxy);
            }
            stat => stat.at("examine", self.retained_path())?,
        };
        if stat.kind() != Kind::Directory || stat.uid() != self.user {
            let whose = stat.uid();
            return Err(Error::refused(
                self.retained_path(),
                format!("it is not a directory of yours but uid {whose}'s; it was left alone"),
            ));
        }
        if stat.mode() == MARK {
            return Ok(Retained::Proxy);
        }
        // The shell helpers did not mark: theirs holds the proxy and nothing else, and the sandbox is another user's.
        if matches!(self.found()?, Found::Theirs(_)) {
            let retained = self.open_retained()?;
            let (mut proxies, mut others) = (0, 0);
            let listed = retained.for_each(|name, _| {
                *(if name == self.proxy.name() { &mut proxies } else { &mut others }) += 1;
                Ok::<_, Error>(())
            });
            listed.at("read the directory", self.retained_path())??;
            if (proxies, others) == (1, 0) {
                retained.set_mode(MARK).at("mark", self.retained_path())?;
                return Ok(Retained::Proxy);
            }
        }
        Ok(Retained::Data)
    }

    /// Opens the retained directory.
    pub fn open_retained(&self) -> Result<Dir> {
        self.place.parent.open_dir(self.retained.name()).at("open", self.retained_path())
    }

    /// Opens the sandbox, which must be the batch user's own.
    pub fn open(&self) -> Result<Dir> {
        let dir = tree::open_dir(&self.place.parent, self.place.name.name(), || self.path().into_os_string())?;
        let owner = dir.stat_self().at("examine", self.path())?.uid();
        if owner == self.user {
            Ok(dir)
        } else {
            Err(Error::refused(self.path(), format!("it belongs to uid {owner}, not to you")))
        }
    }

    /// Reads the proxy in a directory of the batch user's, shown as `path`.
    pub fn read_proxy(&self, dir: &Dir, path: &Path) -> Result<Vec<u8>> {
        let path = path.join(self.proxy.name().os());
        let file = dir.open_file(self.proxy.name()).at("open the proxy", &path)?;
        read_credential(file, &path)
    }

    /// Makes a marked directory that holds only the proxy, under a temporary name.
    pub fn make_retained(&self, proxy: &[u8]) -> Result<OwnedName> {
        let (name, dir) = self.place.create_dir()?;
        let path = self.place.path_of(name.name());
        let made = dir.set_mode(MARK).at("mark", &path).and_then(|()| self.write_proxy(&dir, &path, proxy));
        made.inspect_err(|_| self.forget(&name)).map(|()| name)
    }

    /// Writes the proxy as a new file of a directory, 0600.
    pub fn write_proxy(&self, dir: &Dir, path: &Path, proxy: &[u8]) -> Result<()> {
        let path = path.join(self.proxy.name().os());
        let mut file = dir.create_file(self.proxy.name()).at("create the proxy", &path)?;
        file.write_all(proxy).at("write the proxy", &path)?;
        crate::sys::fd::close(file.into()).at("write the proxy", &path)
    }

    /// Replaces the proxy in a directory of the batch user's, shown as `path`.
    pub fn replace_proxy(&self, dir: &Dir, path: &Path, proxy: &[u8]) -> Result<()> {
        self.place.replace(dir, path, self.proxy.name(), proxy)
    }

    /// Gives a temporary directory the retained name, which must be free.
    pub fn retain(&self, name: &OwnedName) -> Result<()> {
        let renamed = self.place.parent.rename(name.name(), self.retained.name(), Rename::NoReplace);
        renamed.at("create", self.retained_path())
    }

    /// Takes the retained name from its directory, which gets a temporary name.
    pub fn unretain(&self, name: &OwnedName) -> Result<()> {
        let renamed = self.place.parent.rename(self.retained.name(), name.name(), Rename::NoReplace);
        renamed.at("rename", self.retained_path())
    }

    /// Gives the sandbox the retained name, which must be free.
    pub fn sandbox_to_retained(&self) -> Result<()> {
        let renamed = self.place.parent.rename(self.place.name.name(), self.retained.name(), Rename::NoReplace);
        renamed.at("rename", self.path())
    }

    /// Gives what has the retained name the sandbox's, which must be free.
    pub fn retained_to_sandbox(&self) -> Result<()> {
        let renamed = self.place.parent.rename(self.retained.name(), self.place.name.name(), Rename::NoReplace);
        renamed.map_err(|cause| {
            let why = format!(
                "the data can't be put there ({cause}); all of it is in {}",
                crate::shown::Shown::os(&self.retained_path())
            );
            Error::refused(self.path(), why)
        })
    }

    /// Gives the directory of a temporary name the retained name, and what had that a temporary name, which is
    /// returned: the moment that commits a setup or a cleanup.
    ///
    /// Where the file system can't exchange names, the retained one goes aside first; a helper killed in between
    /// leaves a marked directory without its name, which [`Sandbox::retained`] finds.
    pub fn exchange(&self, name: &OwnedName) -> Result<OwnedName> {
        let parent = &self.place.parent;
        match parent.rename(name.name(), self.retained.name(), Rename::Exchange) {
            Err(Errno::EINVAL | Errno::ENOSYS) => {}
            exchanged => {
                exchanged.at("exchange with its new content", self.retained_path())?;
                return Ok(name.clone());
            }
        }
        let aside = self.place.free_name();
        self.unretain(&aside)?;
        if let Err(error) = self.retain(name) {
            return Err(error.and_then(self.retain(&aside)));
        }
        Ok(aside)
    }

    /// Whether an open directory is the one that has the retained name now.
    pub fn is_retained(&self, dir: &Dir) -> bool {
        let (open, named) = (dir.stat_self(), self.place.parent.stat(self.retained.name()));
        open.is_ok_and(|open| named.is_ok_and(|named| open.identity() == named.identity()))
    }

    /// Removes what has a temporary name. What can't be removed is found by the next sweep.
    pub fn forget(&self, name: &OwnedName) {
        let _ = tree::remove(&self.place.parent, name.name(), &self.place.path);
    }

    /// Removes the retained directory.
    pub fn remove_retained(&self) -> Result<()> {
        tree::remove(&self.place.parent, self.retained.name(), &self.place.path)
    }

    /// Removes what earlier helpers left beside the sandbox; not the marked directory, which the next step may need.
    pub fn sweep(&self) {
        self.place.sweep(self.user, |name| self.is_marked(name), &mut || ());
    }

    /// Removes all that this user left beside the sandbox.
    pub fn sweep_all(&self) {
        self.place.sweep(self.user, |_| false, &mut || ());
    }

    /// Whether another user left something beside the sandbox.
    pub fn others_left_something(&self) -> bool {
        !self.owners_of_leftovers().is_empty()
    }

    /// The path of the retained directory where it has a temporary name.
    pub fn marked_aside(&self) -> Option<PathBuf> {
        let marked = self.place.leftovers().into_iter().find(|(name, _)| self.is_marked(name.name()));
        marked.map(|(name, _)| self.place.path_of(name.name()))
    }

    /// As [`Sandbox::lock`], for what this user has left beside the sandbox: a living pilot may be making one of it.
    pub fn lock_leftovers(&self) -> Result<Vec<File>> {
        let own = self.place.leftovers().into_iter().filter(|(_, owner)| *owner == self.user);
        own.map(|(name, _)| lock(&self.place.path_of(name.name()))).collect()
    }

    /// The other users who have left something beside the sandbox.
    pub fn owners_of_leftovers(&self) -> BTreeSet<u32> {
        let owners = self.place.leftovers().into_iter().map(|(_, owner)| owner);
        owners.filter(|owner| *owner != self.user).collect()
    }

    fn is_marked(&self, name: Name<'_>) -> bool {
        let stat = self.place.parent.stat_unmounted(name);
        stat.is_ok_and(|stat| stat.kind() == Kind::Directory && stat.uid() == self.user && stat.mode() == MARK)
    }
}

/// Locks a file or directory of this user's; an error if a pilot keeps it locked.
fn lock(path: &Path) -> Result<File> {
    let flags = sys::file::NO_LINK_NO_WAIT;
    let file = File::options().read(true).custom_flags(flags).open(path).at("open", path)?;
    match fd::lock(&file, Lock::Alone, Duration::ZERO) {
        Err(Errno::EAGAIN) => Err(Error::refused(path, "a pilot that is alive works on it")),
        // A file system without locks protects nobody.
        Err(Errno::ENOLCK | Errno::EOPNOTSUPP) => Ok(file),
        locked => locked.at("lock", path).map(|()| file),
    }
}

/// The value of the mark that every process of a job carries: the path of the retained directory, with no link in it, so that
/// every way to name the sandbox gives the same. The directory itself may be gone.
pub fn family_of(retained: &Path) -> Result<OsString> {
    let (Some(parent), Some(name)) = (retained.parent(), retained.file_name()) else {
        return Err(Error::refused(retained, "the retained proxy is in a directory of its own"));
    };
    let parent = parent.canonicalize().at("find the real path of", parent)?;
    Ok(parent.join(name).into_os_string())
}

/// The sandbox whose retained proxy this is; of any other credential its own path.
pub fn sandbox_of(credential: &Path) -> PathBuf {
    let retained = credential.parent().unwrap_or(credential).as_os_str().as_bytes();
    retained.strip_suffix(b".condor").map_or(credential.to_path_buf(), |path| OsStr::from_bytes(path).into())
}

/// The name under which the log follows a sandbox through setup, run, kills and cleanup: the caller's own (`GLEXEC_ID`), else what no other
/// retained directory of this machine has or ever had: its inode and the moment when it was made, where the file system keeps that.
pub fn request_of(retained: &Path) -> Option<String> {
    let parent = Dir::open(retained.parent()?).ok()?;
    request(&parent, Name::new(retained.file_name()?.as_bytes())?)
}

fn request(parent: &Dir, retained: Name<'_>) -> Option<String> {
    if let Some(name) = std::env::var_os("GLEXEC_ID").filter(|name| !name.is_empty()) {
        return Some(crate::shown::Shown::os(&name).to_string());
    }
    let found = parent.stat_unmounted(retained).ok().filter(|found| found.kind() == Kind::Directory)?;
    let born = parent.born(retained).unwrap_or(Time { seconds: 0, nanoseconds: 0 });
    Some(format!("{:x}.{:x}.{:x}", found.identity().1, born.seconds, born.nanoseconds))
}

/// Reads the credential at a path of the caller's, which may be a link.
pub fn read_credential_at(path: &Path) -> Result<Vec<u8>> {
    let opened = File::options().read(true).custom_flags(sys::file::NO_WAIT).open(path);
    read_credential(opened.at("open the credential", path)?, path)
}

/// Reads a credential: an open regular file, not empty, of a credential's size.
pub fn read_credential(file: File, path: &Path) -> Result<Vec<u8>> {
    let stat = sys::file::stat(&file).at("examine", path)?;
    if stat.kind() != Kind::File {
        return Err(Error::refused(path, "a proxy is a regular file"));
    }
    let mut content = Vec::new();
    file.take(LONGEST_PROXY + 1).read_to_end(&mut content).at("read", path)?;
    match content.len() as u64 {
        0 => Err(Error::refused(path, "the proxy is empty")),
        1..=LONGEST_PROXY => Ok(content),
        _ => Err(Error::refused(path, format!("it is larger than {LONGEST_PROXY} bytes: that is no proxy"))),
    }
}
