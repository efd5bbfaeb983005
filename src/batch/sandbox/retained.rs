//! Changing the retained directory: making, marking, renaming and emptying it.

use std::path::Path;

use error::{Context as _, Error, Result, Shown};
use sys::{Dir, Errno, Kind, Name, OwnedName, Rename, xattr};

use super::{MARK, Sandbox};

impl Sandbox {
    /// Marks the retained directory.
    pub fn mark(&self, retained: &Dir) -> Result<()> {
        retained.set_mode(MARK).at("mark", self.retained_path())
    }

    /// Removes the sticky bit from a sandbox whose mode would be the mark under the retained name.
    /// Returns the mode from before.
    pub fn unmark(&self, sandbox: &Dir) -> Result<u32> {
        let mode = sandbox.stat_self().at("examine", self.path())?.mode();
        if mode == MARK {
            sandbox.set_mode(mode & 0o700).at("set the mode of", self.path())?;
        }
        Ok(mode)
    }

    /// Makes a marked directory that contains only the proxy, with a temporary name.
    pub fn make_retained(&self, proxy: &[u8]) -> Result<OwnedName> {
        let (name, dir) = self.place.create_dir()?;
        let path = self.place.path_of(name.name());
        // The mark comes last: a directory with the mark contains a proxy.
        let made = self
            .write_proxy(&dir, &path, proxy)
            .and_then(|()| dir.set_mode(MARK).at("mark", &path));
        made.inspect_err(|_| self.remove_leftover(&name)).map(|()| name)
    }

    /// Renames a directory with a temporary name to the retained name, which must be free.
    pub fn retain(&self, name: &OwnedName) -> Result<()> {
        self.rename(name.name(), self.retained.name()).at("create", self.retained_path())
    }

    /// Renames the retained directory to a temporary name.
    pub fn unretain(&self, name: &OwnedName) -> Result<()> {
        self.rename(self.retained.name(), name.name()).at("rename", self.retained_path())
    }

    /// Renames the sandbox to the retained name, which must be free.
    pub fn sandbox_to_retained(&self) -> Result<()> {
        self.rename(self.place.name.name(), self.retained.name()).at("rename", self.path())
    }

    /// Renames the retained directory to the sandbox's name, which must be free.
    pub fn retained_to_sandbox(&self) -> Result<()> {
        self.rename(self.retained.name(), self.place.name.name()).map_err(|cause| {
            let why = format!(
                "the data cannot be put there ({cause}); all of it is in {}",
                Shown::os(&self.retained_path())
            );
            Error::refused(self.path(), why)
        })
    }

    fn rename(&self, from: Name<'_>, to: Name<'_>) -> sys::Result<()> {
        self.place.parent.rename(from, to, Rename::NoReplace)
    }

    /// Whether an open directory has the retained name now.
    pub fn is_retained(&self, dir: &Dir) -> bool {
        let (open, named) = (dir.stat_self(), self.place.parent.stat(self.retained.name()));
        open.is_ok_and(|open| named.is_ok_and(|named| open.identity() == named.identity()))
    }

    /// Removes the retained directory.
    pub fn remove_retained(&self) -> Result<()> {
        tree::remove(&self.place.parent, self.retained.name(), &self.place.path)
    }

    /// Replaces the proxy in the retained directory by a copy with mode 0600 that belongs to the
    /// batch user, unless it is such a file: a switcher refuses other credentials.
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
            // The next step reports that there is no proxy.
            _ => Ok(()),
        }
    }

    /// Removes everything but the proxy from the retained directory, and its extended attributes.
    /// Entries that cannot be removed, such as another user's directory, are renamed; returns their
    /// new names. (A name that such an entry had before is known to the job, and an entry that
    /// comes back from the job may have it.)
    pub fn empty_retained(&self, retained: &Dir) -> Result<Vec<OwnedName>> {
        let path = self.retained_path();
        // On a file system without locks another helper may have renamed it.
        if !self.is_retained(retained) {
            return Err(Error::refused(
                path,
                "it is not there any more: another helper works on this sandbox",
            ));
        }
        xattr::remove_user_and_acl(retained).at("remove the attributes of", &path)?;
        let again = retained.try_clone().at("open", &path)?;
        match tree::empty(again, Some(self.proxy.name()), &path) {
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
}

/// The first part of the name of an entry that could not be removed, or was in the way.
const LEFT: &str = ".glexec_left.";

/// Gives an entry a name that no entry of a job has.
pub fn set_aside(dir: &Dir, name: Name<'_>) -> sys::Result<OwnedName> {
    let aside = OwnedName::new(format!("{LEFT}{:08x}", fastrand::u32(..)).into_bytes())
        .ok_or(Errno::EINVAL)?;
    dir.rename(name, aside.name(), Rename::NoReplace).map(|()| aside)
}
