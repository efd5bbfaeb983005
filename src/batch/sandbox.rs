//! The state of a sandbox, told from what is on disk; no journal.
//!
//! The directory that `<sandbox>` is before setup is `<sandbox>.condor` while the job has the
//! sandbox, and `<sandbox>` again after cleanup: the same inode, in which a starter stands all the
//! time. As `.condor` it holds the *retained proxy*, and is marked by its mode, 01700, which no
//! sandbox has. An unmarked `.condor` of the batch user's holds a complete copy of the
//! data, and wins.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::{Context as _, Error, Result};
use sys::flock::{self, Lock};
use sys::{self, Dir, Errno, Kind, Name, OwnedName, Rename, Uid, process, xattr};
use tree::beside::Place;

use super::credential::read_credential;
use super::identity::{family_of, request};
use super::ticket::Ticket;

/// The mode of the retained directory: nobody else enters it, and the sticky bit tells it from a
/// sandbox.
pub const MARK: u32 = 0o1700;

/// A child of a pilot that was killed may hold the pilot's lock until it executes its program.
const A_MOMENT: Duration = Duration::from_millis(500);

/// So many other users are looked at who have left something beside a sandbox.
const MOST_OWNERS: usize = 16;

/// The names of one sandbox, and who works on it.
#[derive(Debug)]
pub struct Sandbox {
    /// Where it is.
    pub place: Place,
    /// The file name of the proxy in it.
    pub proxy: OwnedName,
    retained: OwnedName,
    /// The batch user.
    user: Uid,
}

/// What is found at `<sandbox>.condor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retained {
    /// Nothing: the sandbox is the batch user's, before or after a job.
    Absent,
    /// Nothing, but a marked directory with a temporary name is beside it: a helper was killed
    /// while that had no other name.
    Aside,
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
    Theirs(Uid),
    /// Something else than a directory; whose.
    Other(Uid),
}

impl Sandbox {
    /// The sandbox at an absolute path, with the name that its proxy has in it.
    pub fn find(path: &Path, proxy: &OsStr) -> Result<Self> {
        let proxy = OwnedName::new(proxy.as_bytes().to_vec()).ok_or_else(|| {
            Error::refused(
                proxy,
                "the proxy is given as a file name inside the sandbox, without a directory",
            )
        })?;
        let place = Place::find(path)?;
        let retained = OwnedName::new([place.name.name().bytes(), b".condor"].concat())
            .ok_or_else(|| {
                Error::refused(path, "the sandbox's name is too long to make another one from it")
            })?;
        Ok(Sandbox { place, proxy, retained, user: process::geteuid() })
    }

    /// The sandbox's path.
    pub fn path(&self) -> PathBuf {
        self.place.path_of(self.place.name.name())
    }

    /// The batch user.
    pub fn user(&self) -> Uid {
        self.user
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

    /// The name under which the log follows what is done for this sandbox's job, while there is a
    /// retained directory.
    pub fn request(&self) -> Option<String> {
        request(&self.place.parent, self.place.name.name(), self.retained.name())
    }

    /// Lets no other pilot work on it as long as what is returned is kept: an error if one does. (A
    /// helper for starters does not ask.)
    pub fn lock(&self) -> Result<Vec<File>> {
        let own = [self.place.name.name(), self.retained.name()]
            .map(|name| (self.place.path_of(name), name));
        let is_own = |name| {
            let found = self.place.parent.stat(name);
            found.is_ok_and(|found| found.kind() == Kind::Directory && found.uid() == self.user)
        };
        own.into_iter().filter(|(_, name)| is_own(*name)).map(|(path, _)| lock(&path)).collect()
    }

    /// What is at `<sandbox>` now.
    pub fn found(&self) -> Result<Found> {
        match self.place.parent.stat(self.place.name.name()) {
            Err(Errno::ENOENT) => Ok(Found::Nothing),
            // Whose it seems to be is the word of whoever mounted it.
            Err(Errno::EXDEV) => {
                Err(Error::refused(self.path(), "something is mounted on it; it was left alone"))
            }
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

    /// What is at `<sandbox>.condor` now. Looking changes nothing.
    ///
    /// What is not a directory of the batch user's is an error.
    pub fn retained(&self) -> Result<Retained> {
        let stat = match self.place.parent.stat(self.retained.name()) {
            Err(Errno::ENOENT) => {
                return Ok(if self.marked_aside().is_empty() {
                    Retained::Absent
                } else {
                    Retained::Aside
                });
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
        if stat.mode() == MARK || self.is_of_shell_helpers()? {
            Ok(Retained::Proxy)
        } else {
            Ok(Retained::Data)
        }
    }

    /// Whether the unmarked `.condor` was made by the shell helpers, which did not mark: it holds
    /// the proxy and nothing else, and the sandbox is another user's.
    ///
    /// A helper of ours that was killed leaves the same where the sandbox holds nothing but the
    /// proxy; then the sandbox is a complete copy as well.
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

    /// As [`Sandbox::retained`], for who goes on from there: a marked directory with a temporary
    /// name gets the retained name back, and one of the shell helpers its mark.
    pub fn settle(&self) -> Result<Retained> {
        match self.retained()? {
            Retained::Aside => {
                if let Some(name) = self.marked_aside().first() {
                    let back = self.place.parent.rename(
                        name.name(),
                        self.retained.name(),
                        Rename::NoReplace,
                    );
                    back.at("give its name back to", self.retained_path())?;
                }
                Ok(Retained::Proxy)
            }
            Retained::Proxy => {
                self.mark(&self.open_retained()?)?;
                Ok(Retained::Proxy)
            }
            other => Ok(other),
        }
    }

    /// Marks the retained directory.
    pub fn mark(&self, retained: &Dir) -> Result<()> {
        retained.set_mode(MARK).at("mark", self.retained_path())
    }

    /// Takes away the mode that would read as a mark under the retained name; returns the mode from
    /// before.
    pub fn unmark(&self, sandbox: &Dir) -> Result<u32> {
        let mode = sandbox.stat_self().at("examine", self.path())?.mode();
        if mode == MARK {
            sandbox.set_mode(mode & 0o700).at("set the mode of", self.path())?;
        }
        Ok(mode)
    }

    /// The retained name.
    pub fn retained_name(&self) -> Name<'_> {
        self.retained.name()
    }

    /// Opens the retained directory.
    pub fn open_retained(&self) -> Result<Dir> {
        self.place.parent.open_dir(self.retained.name()).at("open", self.retained_path())
    }

    /// Opens the sandbox, which must be the batch user's own.
    pub fn open(&self) -> Result<Dir> {
        let dir = tree::open_dir(&self.place.parent, self.place.name.name(), || {
            self.path().into_os_string()
        })?;
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
        // The mark comes last: what has it has a proxy.
        let made = self
            .write_proxy(&dir, &path, proxy)
            .and_then(|()| dir.set_mode(MARK).at("mark", &path));
        made.inspect_err(|_| self.forget(&name)).map(|()| name)
    }

    /// Writes the proxy as a new file of a directory, 0600.
    pub fn write_proxy(&self, dir: &Dir, path: &Path, proxy: &[u8]) -> Result<()> {
        let path = path.join(self.proxy.name().os());
        let mut file = dir.create_file(self.proxy.name()).at("create the proxy", &path)?;
        file.write_all(proxy).at("write the proxy", &path)?;
        sys::fd::close(file.into()).at("write the proxy", &path)
    }

    /// Replaces the proxy in a directory of the batch user's, shown as `path`.
    pub fn replace_proxy(&self, dir: &Dir, path: &Path, proxy: &[u8]) -> Result<()> {
        self.place.replace(dir, path, self.proxy.name(), proxy)
    }

    /// Gives a temporary directory the retained name, which must be free.
    pub fn retain(&self, name: &OwnedName) -> Result<()> {
        let renamed =
            self.place.parent.rename(name.name(), self.retained.name(), Rename::NoReplace);
        renamed.at("create", self.retained_path())
    }

    /// Takes the retained name from its directory, which gets a temporary name.
    pub fn unretain(&self, name: &OwnedName) -> Result<()> {
        let renamed =
            self.place.parent.rename(self.retained.name(), name.name(), Rename::NoReplace);
        renamed.at("rename", self.retained_path())
    }

    /// Gives the sandbox the retained name, which must be free.
    pub fn sandbox_to_retained(&self) -> Result<()> {
        let renamed = self.place.parent.rename(
            self.place.name.name(),
            self.retained.name(),
            Rename::NoReplace,
        );
        renamed.at("rename", self.path())
    }

    /// Gives what has the retained name the sandbox's, which must be free.
    pub fn retained_to_sandbox(&self) -> Result<()> {
        let renamed = self.place.parent.rename(
            self.retained.name(),
            self.place.name.name(),
            Rename::NoReplace,
        );
        renamed.map_err(|cause| {
            let why = format!(
                "the data can't be put there ({cause}); all of it is in {}",
                error::Shown::os(&self.retained_path())
            );
            Error::refused(self.path(), why)
        })
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

    /// Makes the proxy in the retained directory a file of this helper's own, 0600, if it is
    /// anything else: a switcher refuses other credentials.
    pub fn secure_proxy(&self, retained: &Dir) -> Result<()> {
        let path = self.retained_path();
        match retained.stat(self.proxy.name()) {
            Ok(stat)
                if stat.kind() == Kind::File && stat.mode() == 0o600 && stat.uid() == self.user =>
            {
                Ok(())
            }
            Ok(stat) if stat.kind() == Kind::File => {
                let proxy = self.read_proxy(retained, &path)?;
                self.replace_proxy(retained, &path, &proxy)
            }
            // The next step says what it misses.
            _ => Ok(()),
        }
    }

    /// Makes the retained directory ready for what comes back: nothing in it but the proxy, and
    /// none of the sandbox's attributes. Returns the names of what can't be removed, such as
    /// another user's directory: each is new, and so in the way of nothing. (A name that such a
    /// directory got before may have come to the job, and may come back from there.)
    pub fn empty_retained(&self, retained: &Dir) -> Result<Vec<OwnedName>> {
        let path = self.retained_path();
        // Where there are no tickets another helper may have made it the sandbox.
        if !self.is_retained(retained) {
            return Err(Error::refused(
                path,
                "it is not there any more: another helper works on this sandbox",
            ));
        }
        xattr::remove_user_and_acl(retained).at("remove the attributes of", &path)?;
        let again = || retained.try_clone().at("open", &path);
        match tree::empty(again()?, Some(self.proxy.name()), &path) {
            Ok(()) => Ok(Vec::new()),
            Err(_) => self.set_aside_in(retained, &path),
        }
    }

    /// Removes the entries of the retained directory one by one, and renames those that stay.
    fn set_aside_in(&self, retained: &Dir, path: &Path) -> Result<Vec<OwnedName>> {
        let mut names = Vec::new();
        let listed = retained.for_each_entry(|name, _| {
            names.push(OwnedName::from(name));
            Ok::<_, Error>(())
        });
        listed.at("read the directory", path)??;
        let mut left = Vec::new();
        for name in names.iter().map(OwnedName::name).filter(|name| *name != self.proxy.name()) {
            if let Err(error) = tree::remove(retained, name, path) {
                left.push(set_aside(retained, name).map_err(|_| error)?);
            }
        }
        Ok(left)
    }

    /// Removes all that this user left beside the sandbox.
    pub fn sweep_all(&self) {
        self.sweep_but(None);
    }

    /// The same, but for the ticket of the helper that asks.
    pub fn sweep_but(&self, ticket: Option<&Ticket<'_>>) {
        let kept = ticket.and_then(Ticket::name);
        for name in
            self.place.leftovers_of(self.user).iter().filter(|name| Some(name.name()) != kept)
        {
            self.forget(name);
        }
    }

    /// Whether another user left something beside the sandbox.
    pub fn others_left_something(&self) -> bool {
        let mut found = false;
        self.place.visit_leftovers(|_, owner| {
            found = owner != self.user;
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        found
    }

    /// The temporary names of all marked directories beside the sandbox.
    pub fn marked_aside(&self) -> Vec<OwnedName> {
        self.place
            .leftovers_of(self.user)
            .into_iter()
            .filter(|name| self.is_marked(name.name()))
            .collect()
    }

    /// As [`Sandbox::lock`], for what this user has left beside the sandbox: a living pilot may be
    /// making one of it.
    pub fn lock_leftovers(&self) -> Result<Vec<File>> {
        self.place
            .leftovers_of(self.user)
            .iter()
            .map(|name| lock(&self.place.path_of(name.name())))
            .collect()
    }

    /// Some of the other users who have left something beside the sandbox: not more than a few have
    /// worked on it.
    pub fn owners_of_leftovers(&self) -> Vec<Uid> {
        let mut owners = Vec::new();
        self.place.visit_leftovers(|_, owner| {
            if owner != self.user && !owners.contains(&owner) {
                owners.push(owner);
            }
            if owners.len() < MOST_OWNERS {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        owners
    }

    fn is_marked(&self, name: Name<'_>) -> bool {
        let stat = self.place.parent.stat(name);
        stat.is_ok_and(|stat| {
            stat.kind() == Kind::Directory && stat.uid() == self.user && stat.mode() == MARK
        })
    }
}

/// So begins the name of what can't be removed from a directory that is to be empty.
const LEFT: &str = ".glexec_left.";

/// Gives an entry that can't be removed a name that no job chooses.
fn set_aside(dir: &Dir, name: Name<'_>) -> sys::Result<OwnedName> {
    let aside = OwnedName::new(format!("{LEFT}{:08x}", fastrand::u32(..)).into_bytes())
        .ok_or(Errno::EINVAL)?;
    dir.rename(name, aside.name(), Rename::NoReplace).map(|()| aside)
}

/// Locks a file or directory of this user's; an error if a pilot keeps it locked.
fn lock(path: &Path) -> Result<File> {
    let flags = sys::file::NOFOLLOW_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path).at("open", path)?;
    match flock::lock(&file, Lock::Exclusive, A_MOMENT) {
        Err(Errno::EAGAIN) => Err(Error::refused(path, "a pilot that is alive works on it")),
        // A file system without locks protects nobody.
        Err(Errno::ENOLCK | Errno::EOPNOTSUPP) => Ok(file),
        locked => locked.at("lock", path).map(|()| file),
    }
}
