//! Moving the entries of a scratch directory to a sandbox, and those of a sandbox back.
//!
//! On the way they are in the *passage*, a directory in the scratch directory. It becomes the
//! sandbox, and the sandbox becomes it: by a rename, or by a copy if the two are on different file
//! systems. What is in the passage counts if there is no sandbox, and only then. So a wrapper can
//! be killed at any point: the next one, or a sweep, goes on.

use std::path::{Path, PathBuf};

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name, OwnedName, Rename};
use tree::{Place, Transfer};
use wire::Halt;

use super::ad;
use super::names::{CREDENTIALS, Fate, PASSAGE, fate};
use super::scratch::Scratch;
use crate::batch::pilot::make;
use crate::batch::sandbox::{Found, Sandbox};

/// The longest file that is copied for the job, in bytes: an ad, or the address of a daemon.
const MAX_COPIED: u64 = 16 << 20;

/// The passage of a scratch directory.
struct Passage<'a> {
    scratch: &'a Scratch,
    place: Place,
}

/// Moves the job's entries to the sandbox, which does not exist yet; with copies of those that the
/// job may only read, and with the switcher's credential. `halt` ends a copy to another file system
/// early.
pub fn to_sandbox(
    scratch: &Scratch,
    sandbox: &Sandbox,
    credential: &[u8],
    halt: Halt,
) -> Result<()> {
    let passage = Passage::of(scratch)?;
    // No sandbox was made before this one: the submitter has sent an entry of that name.
    passage.remove()?;
    let dir = scratch.dir.create_dir(passage.name()).at("make", passage.path())?;
    passage.gather(&dir)?;
    sandbox.write_proxy(&dir, &passage.path(), credential)?;
    become_that(&passage.place, &sandbox.place, Some(halt), || passage.remove())
}

/// Moves the entries of a sandbox of this user back, and removes the sandbox. What the scratch
/// directory has under the same name stays: the starter has put it there meanwhile. What the job
/// must not give the starter is removed.
pub fn to_scratch(scratch: &Scratch, sandbox: &Sandbox) -> Result<()> {
    let passage = Passage::of(scratch)?;
    passage.place.sweep(sandbox.user(), &mut || ());
    if sandbox.found()? != Found::Nothing {
        passage.remove()?;
        let top = sandbox.open()?;
        // A directory that denies its owner writing cannot be moved. The scratch directory may be
        // open to other users.
        top.set_mode(0o700).at("set the mode of", sandbox.path())?;
        become_that(&sandbox.place, &passage.place, None, || make::remove(sandbox))?;
    }
    sandbox.sweep(None);
    passage.spread()
}

impl<'a> Passage<'a> {
    fn of(scratch: &'a Scratch) -> Result<Passage<'a>> {
        Ok(Passage { scratch, place: Place::find(&scratch.path.join(PASSAGE))? })
    }

    fn name(&self) -> Name<'_> {
        self.place.name.name()
    }

    fn path(&self) -> PathBuf {
        self.place.path_of(self.name())
    }

    fn remove(&self) -> Result<()> {
        tree::remove(&self.place.parent, self.name(), &self.place.path)
    }

    /// Moves the job's entries into the passage, and copies those that it may only read.
    fn gather(&self, dir: &Dir) -> Result<()> {
        let scratch = self.scratch;
        let proxy = scratch.proxy();
        for name in names_of(&scratch.dir, &scratch.path)? {
            let name = name.name();
            match fate(name.bytes(), proxy.as_ref().map(|name| name.name().bytes())) {
                Fate::Kept => {}
                Fate::Copied => self.copy(name, dir)?,
                Fate::Moved => move_entry(&scratch.dir, name, dir)
                    .at("move to the sandbox", scratch.path.join(name.os()))?,
            }
        }
        self.copy_beside(dir)
    }

    /// Moves the entries of the passage, if there is one, up to the scratch directory.
    fn spread(&self) -> Result<()> {
        let (scratch, path) = (self.scratch, self.path());
        let dir = match self.place.parent.open_dir(self.name()) {
            Err(Errno::ENOENT) => return Ok(()),
            opened => opened.at("open", &path)?,
        };
        let proxy = scratch.proxy();
        for name in names_of(&dir, &path)? {
            let name = name.name();
            let fate = fate(name.bytes(), proxy.as_ref().map(|name| name.name().bytes()));
            if fate == Fate::Moved && matches!(scratch.dir.stat(name), Err(Errno::ENOENT)) {
                move_entry(&dir, name, &scratch.dir)
                    .at("move to the scratch directory", path.join(name.os()))?;
            }
        }
        self.remove()
    }

    /// Copies what a starter of HTCondor 25 has put beside the scratch directory.
    fn copy_beside(&self, dir: &Dir) -> Result<()> {
        let name = Name::new(ad::CHIRP.as_bytes());
        let (Some(path), Some(name)) = (self.scratch.beside(), name) else { return Ok(()) };
        match (Dir::open(&path), dir.stat(name)) {
            (Ok(from), Err(Errno::ENOENT)) => copy_file((&from, &path), name, (dir, &self.path())),
            _ => Ok(()),
        }
    }

    /// Copies a file, or the files of the directory with the job's credentials.
    fn copy(&self, name: Name<'_>, dir: &Dir) -> Result<()> {
        let (from, to) = (&self.scratch.dir, &self.path());
        let path = &self.scratch.path;
        let below = path.join(name.os());
        if name.bytes() != CREDENTIALS.as_bytes() {
            return copy_file((from, path), name, (dir, to));
        }
        let from = match from.open_dir(name) {
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            opened => opened.at("open", &below)?,
        };
        let to = &to.join(name.os());
        let dir = dir.create_dir(name).at("make", to)?;
        let names = names_of(&from, &below)?;
        names.iter().try_for_each(|name| copy_file((&from, &below), name.name(), (&dir, to)))
    }
}

/// Copies a regular file from one directory to another one; each has its path.
fn copy_file(from: (&Dir, &Path), name: Name<'_>, to: (&Dir, &Path)) -> Result<()> {
    use std::io::Read as _;
    let path = from.1.join(name.os());
    let found = match from.0.stat(name) {
        // The starter has replaced it since its name was read.
        Err(Errno::ENOENT) => return Ok(()),
        found => found.at("examine", &path)?,
    };
    if found.kind() != Kind::File {
        return Ok(());
    }
    let file = from.0.open_file(name).at("open", &path)?;
    let mut content = Vec::new();
    file.take(MAX_COPIED).read_to_end(&mut content).at("read", &path)?;
    tree::create(to.0, to.1, name, &content)
}

/// Renames a directory to the other place, which is free; or copies it there, where it gets its
/// name when it is complete, and calls `remove` for the first one.
fn become_that(
    from: &Place,
    to: &Place,
    halt: Option<Halt>,
    remove: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let (name, new_name) = (from.name.name(), to.name.name());
    let path = to.path_of(new_name);
    match from.parent.rename_into(name, &to.parent, new_name, Rename::NoReplace) {
        Err(Errno::EXDEV) => {}
        renamed => return renamed.at("make", path),
    }
    let way = (&*from.path_of(name), Transfer::Give);
    let (copy, _) = tree::copy(way, to, halt, &mut |_| (), |_, _| Ok(()))?;
    match to.parent.rename(copy.name(), new_name, Rename::NoReplace).at("make", path) {
        Ok(()) => remove(),
        Err(error) => Err(error.and_then(tree::remove(&to.parent, copy.name(), &to.path))),
    }
}

fn names_of(dir: &Dir, path: &Path) -> Result<Vec<OwnedName>> {
    let mut names = Vec::new();
    let listed = dir.for_each_entry(|name, _| {
        names.push(OwnedName::from(name));
        Ok::<_, Error>(())
    });
    listed.at("read the directory", path)??;
    Ok(names)
}

/// Renames an entry into another directory. A directory that denies its owner writing cannot be
/// moved: it gets the right for that time.
fn move_entry(from: &Dir, name: Name<'_>, to: &Dir) -> sys::Result<()> {
    match from.rename_into(name, to, name, Rename::Replace) {
        Err(Errno::EACCES) => {}
        moved => return moved,
    }
    let mode = from.add_mode(name, 0o700)?;
    let moved = from.rename_into(name, to, name, Rename::Replace);
    let restored = if moved.is_ok() { to } else { from }.open_dir(name);
    let restored = restored.and_then(|dir| dir.set_mode(mode));
    moved.and(restored)
}
