//! Deleting a tree.

use std::ffi::OsStr;
use std::path::Path;

use super::descent::Descent;
use super::{open_dir, vanished};
use crate::error::{Context as _, Error, Result};
use crate::sys::{Dir, Errno, Kind, Name, OwnedName};

/// Deletes what has the name in `parent`: a tree, or any other kind of file. Nothing there is a success.
///
/// Directories of the caller's that can't be read or written are opened up first. A mount point is an error that names
/// it: what is mounted is not touched. Somebody else may be removing the same tree. `path` is that of `parent`, for messages.
pub fn remove(parent: &Dir, name: Name<'_>, path: impl AsRef<OsStr>) -> Result<()> {
    // Somebody else may also be creating files in it, for a while.
    let mut tries = 5;
    loop {
        match remove_once(parent, name, path.as_ref()) {
            Err(Error::System { cause: Errno::ENOTEMPTY, .. }) if tries > 0 => tries -= 1,
            removed => return removed,
        }
    }
}

fn remove_once(parent: &Dir, name: Name<'_>, path: &OsStr) -> Result<()> {
    let shown = Path::new(path).join(name.os());
    match parent.remove_file(name) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR) => {}
        Err(cause) => return Err(cause).at("remove", shown),
    }
    let mut walk = Descent::new(open_dir(parent, name, shown.as_os_str())?, &shown)?;
    // The directories from the top down to where the walk is, each with the subdirectories still to be removed.
    let mut way = vec![Emptied { name: None, subdirectories: empty(&walk)? }];
    while let Some(here) = way.last_mut() {
        if let Some(next) = here.subdirectories.pop() {
            let Some(dir) = vanished(open_dir(walk.here()?, next.name(), &walk.path_of(next.name())))? else {
                continue;
            };
            walk.enter(next.name(), dir)?;
            let subdirectories = empty(&walk)?;
            way.push(Emptied { name: Some(next), subdirectories });
        } else if let Some(done) = way.pop() {
            walk.leave()?;
            if let Some(done) = done.name {
                let path = walk.path_of(done.name());
                vanished(walk.here()?.remove_dir(done.name()).at("remove the directory", path))?;
            }
        }
    }
    vanished(parent.remove_dir(name).at("remove the directory", shown)).map(drop)
}

/// A directory on the way whose files are gone.
struct Emptied {
    /// None for the top, which is removed last of all.
    name: Option<OwnedName>,
    subdirectories: Vec<OwnedName>,
}

/// Removes all entries of the directory where the walk is, except the subdirectories, which it returns.
fn empty(walk: &Descent) -> Result<Vec<OwnedName>> {
    let here = walk.here()?;
    let mode = here.stat_self().at("examine", walk.path())?.mode();
    if mode & 0o700 != 0o700 {
        here.set_mode(mode | 0o700).at("open up", walk.path())?;
    }
    let mut subdirectories = Vec::new();
    let mut failed = Ok(());
    let listed = here.for_each(|name, kind| {
        if kind == Some(Kind::Directory) {
            subdirectories.push(OwnedName::from(name));
            return Ok(());
        }
        match here.remove_file(name) {
            Err(Errno::EISDIR) => subdirectories.push(OwnedName::from(name)),
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(cause) => {
                failed = Err(cause).at_entry("remove", || walk.path_of(name));
                return Err(cause);
            }
        }
        Ok(())
    });
    failed.and(listed.at("read the directory", walk.path())).map(|()| subdirectories)
}
