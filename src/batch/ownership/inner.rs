//! H: the directory inside O that is, or becomes, the top of the job's sandbox.

use std::path::{Path, PathBuf};

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name, OwnedName, Rename, Stat, Uid};
use tree::Names;

use crate::batch::sandbox::{MARK, Sandbox, is_left};

/// The first part of its name. The rest is the inode number of the directory R that has a copy of
/// the proxy meanwhile: so it is found again after a crash, and no entry of a job is taken for it.
const PREFIX: &str = ".glexec_handover.";

/// H, and the directory O that contains it.
pub(super) struct Inner<'a> {
    /// O, and its present path, for messages and calls.
    pub(super) outer: &'a Dir,
    pub(super) outer_path: PathBuf,
    pub(super) name: OwnedName,
}

impl<'a> Inner<'a> {
    /// H as it is named while R has this status.
    pub(super) fn of(outer: &'a Dir, outer_path: PathBuf, retained: &Stat) -> Result<Self> {
        let name = format!("{PREFIX}{:x}", retained.identity().1);
        let name = OwnedName::new(name.into_bytes()).ok_or(Errno::EINVAL);
        let name = name.at("name a directory in", &outer_path)?;
        Ok(Inner { outer, outer_path, name })
    }

    /// H that a helper which was killed has left in O, if there is one. R is the retained directory
    /// while O is the sandbox, and has a temporary name while O is the retained directory.
    pub(super) fn find(
        sandbox: &Sandbox,
        outer: &'a Dir,
        outer_path: PathBuf,
    ) -> Result<Option<Self>> {
        let asides = sandbox.marked_aside();
        let names = asides.iter().map(OwnedName::name).chain([sandbox.retained_name()]);
        for name in names {
            let Ok(retained) = sandbox.place.parent.stat(name) else { continue };
            let inner = Inner::of(outer, outer_path.clone(), &retained)?;
            match outer.stat(inner.name.name()) {
                Ok(found) if found.kind() == Kind::Directory => return Ok(Some(inner)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Its path.
    pub(super) fn path(&self) -> PathBuf {
        self.outer_path.join(self.name.name().os())
    }

    /// Makes it: empty, and closed to other users.
    pub(super) fn create(&self) -> Result<Dir> {
        self.outer.create_dir(self.name.name()).at("create", self.path())
    }

    /// Whether the switcher may have given it, or a part of it: it marks a directory that it gives
    /// by the mode 01700.
    pub(super) fn may_be_given(&self, user: Uid) -> Result<bool> {
        let found = self.outer.stat(self.name.name()).at("examine", self.path())?;
        Ok(found.uid() != user || found.mode() == MARK)
    }

    /// Whether it exists.
    pub(super) fn exists(&self) -> bool {
        self.outer.stat(self.name.name()).is_ok()
    }

    /// Whether entries of it have been moved to O.
    pub(super) fn is_moving(&self, proxy: Name<'_>) -> Result<bool> {
        let listed = self.outer.for_each_entry(|name, _| {
            let expected = name == proxy || name == self.name.name() || is_left(name);
            if expected { Ok(()) } else { Err(()) }
        });
        Ok(listed.at("read the directory", &self.outer_path)?.is_err())
    }

    /// Opens it, when it is the batch user's.
    pub(super) fn open(&self) -> Result<Dir> {
        self.outer.open_dir(self.name.name()).at("open", self.path())
    }

    /// Removes it, when it is empty.
    pub(super) fn remove(&self) -> Result<()> {
        self.outer.remove_dir(self.name.name()).at("remove", self.path())
    }

    /// Moves all entries of O but the proxy into it.
    pub(super) fn fill(&self, dir: &Dir, proxy: Name<'_>) -> Result<()> {
        move_entries((self.outer, &self.outer_path), dir, &[proxy, self.name.name()])
    }

    /// Removes its proxy, and moves all its other entries to O.
    pub(super) fn empty(&self, dir: &Dir, proxy: Name<'_>) -> Result<()> {
        let path = self.path();
        if dir.stat(proxy).is_ok() {
            tree::remove(dir, proxy, &path)?;
        }
        move_entries((dir, &path), self.outer, &[])
    }
}

/// Moves all entries of a directory to another one, where their names must be free. Looks again
/// until there is none.
fn move_entries((from, path): (&Dir, &Path), to: &Dir, except: &[Name<'_>]) -> Result<()> {
    loop {
        let mut names = Names::default();
        let listed = from.for_each_entry(|name, _| {
            if !except.contains(&name) {
                names.push(name);
            }
            Ok::<_, Error>(())
        });
        listed.at("read the directory", path)??;
        if names.last().is_none() {
            return Ok(());
        }
        while let Some(name) = names.last() {
            from.rename_into(name, to, name, Rename::NoReplace)
                .at_entry("move", || path.join(name.os()).into_os_string())?;
            names.pop();
        }
    }
}
