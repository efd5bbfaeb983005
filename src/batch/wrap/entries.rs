//! Moving the entries of a scratch directory to a sandbox, and those of a sandbox back.
//!
//! Each entry is in one of the two at every moment, and moving is repeated until all are there. So
//! a wrapper can be killed at any point: the next one, or a sweep, goes on.

use std::path::Path;

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name, OwnedName, Rename};

use super::names::{Fate, fate};
use super::scratch::Scratch;

/// The longest file that is copied for the job, in bytes: an ad, or the address of a daemon.
const MAX_COPIED: u64 = 16 << 20;

/// Moves the job's entries to the sandbox, and copies those that it may only read.
pub fn to_sandbox(scratch: &Scratch, sandbox: &Dir, path: &Path) -> Result<()> {
    let proxy = scratch.proxy();
    for name in names_of(&scratch.dir, &scratch.path)? {
        let name = name.name();
        match fate(name.bytes(), proxy.as_ref().map(|name| name.name().bytes())) {
            Fate::Kept => {}
            Fate::Copied => copy(scratch, name, sandbox, path)?,
            Fate::Moved => move_entry(&scratch.dir, name, sandbox)
                .at("move to the sandbox", scratch.path.join(name.os()))?,
        }
    }
    Ok(())
}

/// Moves the job's entries back. What the scratch directory has under the same name stays: the
/// starter has put it there meanwhile. What the job must not give the starter is removed.
pub fn to_scratch(scratch: &Scratch, sandbox: &Dir, path: &Path) -> Result<()> {
    let proxy = scratch.proxy();
    for name in names_of(sandbox, path)? {
        let name = name.name();
        if fate(name.bytes(), proxy.as_ref().map(|name| name.name().bytes())) != Fate::Moved {
            tree::remove(sandbox, name, path)?;
            continue;
        }
        if scratch.dir.stat(name).is_ok() {
            tree::remove(sandbox, name, path)?;
            continue;
        }
        move_entry(sandbox, name, &scratch.dir)
            .at("move to the scratch directory", path.join(name.os()))?;
    }
    Ok(())
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

fn copy(scratch: &Scratch, name: Name<'_>, sandbox: &Dir, path: &Path) -> Result<()> {
    use std::io::Read as _;
    let from = scratch.path.join(name.os());
    let found = scratch.dir.stat(name).at("examine", &from)?;
    if found.kind() != Kind::File {
        return Ok(());
    }
    let file = scratch.dir.open_file(name).at("open", &from)?;
    let mut content = Vec::new();
    file.take(MAX_COPIED).read_to_end(&mut content).at("read", &from)?;
    // One that a wrapper before this one has made.
    tree::remove(sandbox, name, path)?;
    tree::create(sandbox, path, name, &content)
}
