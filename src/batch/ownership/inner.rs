//! H: the directory inside O that is, or becomes, the top of the job's sandbox.

use std::path::{Path, PathBuf};

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name, OwnedName, Rename, Stat, Uid};
use tree::Names;

use crate::batch::sandbox::{MARK, Sandbox, set_aside};

/// The first part of its name. The inode number of the directory R follows, which has a copy of the
/// proxy meanwhile: so it is found again after a crash, and no entry of a job is taken for it. The
/// rest is the name of the phase.
const PREFIX: &str = ".glexec_handover.";

/// What H is. Its name tells: what else is in O, and who has the name of the sandbox, decides
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It contains the files that are being given.
    Give,
    /// It is empty, until the exchange of names; then it is the job's directory, which is taken.
    Take,
    /// It is the batch user's, and its entries are moved to O.
    Taken,
}

impl Phase {
    const ALL: [Phase; 3] = [Phase::Give, Phase::Take, Phase::Taken];

    fn name(self, stem: &str) -> sys::Result<OwnedName> {
        let suffix = match self {
            Phase::Give => "",
            Phase::Take => ".take",
            Phase::Taken => ".taken",
        };
        OwnedName::new([stem, suffix].concat().into_bytes()).ok_or(Errno::EINVAL)
    }
}

/// H, and the directory O that contains it.
pub(super) struct Inner<'a> {
    /// O, and its present path, for messages and calls.
    pub(super) outer: &'a Dir,
    pub(super) outer_path: PathBuf,
    /// What its names in all phases begin with.
    stem: String,
    pub(super) name: OwnedName,
}

impl<'a> Inner<'a> {
    /// H as it is named in a phase while R has this status.
    pub(super) fn of(
        outer: &'a Dir,
        outer_path: PathBuf,
        retained: &Stat,
        phase: Phase,
    ) -> Result<Self> {
        let stem = format!("{PREFIX}{:x}", retained.identity().1);
        let name = phase.name(&stem).at("name a directory in", &outer_path)?;
        Ok(Inner { outer, outer_path, stem, name })
    }

    /// H that a helper which was killed has left in O, if there is one. R has a temporary name, or
    /// it is the retained directory while O is the sandbox.
    pub(super) fn find(
        sandbox: &Sandbox,
        outer: &'a Dir,
        outer_path: &Path,
        phase: Phase,
    ) -> Result<Option<Self>> {
        let asides = sandbox.marked_aside();
        let retained = Some(sandbox.retained_name()).filter(|_| !sandbox.is_retained(outer));
        for name in asides.iter().map(OwnedName::name).chain(retained) {
            let Ok(retained) = sandbox.place.parent.stat(name) else { continue };
            let inner = Inner::of(outer, outer_path.to_owned(), &retained, phase)?;
            if inner.is_directory() {
                return Ok(Some(inner));
            }
        }
        Ok(None)
    }

    /// Whether a directory contains one that could be H, of whatever R.
    pub(super) fn may_be_in(outer: &Dir, path: &Path, user: Uid) -> Result<bool> {
        let listed = outer.for_each_entry(|name, _| {
            let is_named = name.bytes().starts_with(PREFIX.as_bytes());
            let is_changing = |found: Stat| {
                found.kind() == Kind::Directory && (found.uid() != user || found.mode() == MARK)
            };
            if is_named && outer.stat(name).is_ok_and(is_changing) { Err(()) } else { Ok(()) }
        });
        Ok(listed.at("read the directory", path)?.is_err())
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

    fn is_directory(&self) -> bool {
        let found = self.outer.stat(self.name.name());
        found.is_ok_and(|found| found.kind() == Kind::Directory)
    }

    /// Whether it is an empty directory of the batch user.
    pub(super) fn is_unused(&self, user: Uid) -> Result<bool> {
        let found = self.outer.stat(self.name.name()).at("examine", self.path())?;
        if found.uid() != user {
            return Ok(false);
        }
        let listed = self.open()?.for_each_entry(|_, _| Err(()));
        Ok(listed.at("read the directory", self.path())?.is_ok())
    }

    /// Gives it the name that it has in another phase.
    pub(super) fn enter(self, phase: Phase) -> Result<Self> {
        let renamed = phase.name(&self.stem).and_then(|name| {
            self.outer.rename(self.name.name(), name.name(), Rename::NoReplace)?;
            Ok(name)
        });
        let name = renamed.at("rename", self.path())?;
        Ok(Inner { name, ..self })
    }

    /// The job may have entries with the names of H: they get others.
    pub(super) fn avoid_names(&self, dir: &Dir) -> Result<()> {
        for phase in Phase::ALL {
            let renamed = phase.name(&self.stem).and_then(|name| match dir.stat(name.name()) {
                Ok(_) => set_aside(dir, name.name()).map(drop),
                Err(_) => Ok(()),
            });
            renamed.at("rename an entry of", self.path())?;
        }
        Ok(())
    }

    /// The user that owns a part of it, if a part is not the batch user's.
    pub(super) fn other_owner(&self, user: Uid) -> Result<Option<Uid>> {
        let found = self.outer.stat(self.name.name()).at("examine", self.path())?;
        if found.uid() != user {
            return Ok(Some(found.uid()));
        }
        tree::foreign_owner(self.open()?, self.path().as_os_str(), user)
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
        move_entries((self.outer, &self.outer_path), dir, &[proxy, self.name.name()], &mut |_| {
            Err(Errno::EEXIST)
        })
    }

    /// Removes its proxy, and moves all its other entries to O. What has the name of one there
    /// already, such as a file that a starter has written meanwhile, gets another name.
    pub(super) fn empty(&self, dir: &Dir, proxy: Name<'_>) -> Result<()> {
        let path = self.path();
        if dir.stat(proxy).is_ok() {
            tree::remove(dir, proxy, &path)?;
        }
        let mut free = |name: Name<'_>| set_aside(self.outer, name).map(drop);
        move_entries((dir, &path), self.outer, &[], &mut free)
    }
}

/// Moves all entries of a directory to another one. Where a name is taken, `free` is called, which
/// gives another name to one of the two. Looks again until there is none.
fn move_entries(
    (from, path): (&Dir, &Path),
    to: &Dir,
    except: &[Name<'_>],
    free: &mut dyn FnMut(Name<'_>) -> sys::Result<()>,
) -> Result<()> {
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
            let moved = from.rename_into(name, to, name, Rename::NoReplace);
            let moved = match moved {
                // Another look finds the entry again.
                Err(Errno::EEXIST) => free(name),
                moved => moved,
            };
            moved.at_entry("move", || path.join(name.os()).into_os_string())?;
            names.pop();
        }
    }
}
