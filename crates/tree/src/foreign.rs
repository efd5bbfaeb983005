//! Whether a tree has entries of another user.

use std::ffi::OsStr;

use error::{Context as _, Result};
use sys::{Dir, Errno, Kind, Uid};

use super::names::Names;
use super::walk::Walk;
use super::{if_exists, refuse_mount_point};

/// The owner of the first entry below `top`, shown as `path`, that does not belong to `user`; none
/// if all do. A directory that can't be read is left out.
pub fn foreign_owner(top: Dir, path: &OsStr, user: Uid) -> Result<Option<Uid>> {
    let mut walk = Walk::new(top, path);
    let mut found = None;
    let mut pending = vec![directory(&walk, user, &mut found)?];
    while let (None, Some(subdirectories)) = (found, pending.last_mut()) {
        let Some(name) = subdirectories.last() else {
            pending.pop();
            walk.leave()?;
            continue;
        };
        // However deep it is: a payload may have made it so.
        let opened = match walk.current()?.open_dir(name) {
            Err(Errno::EACCES | Errno::EPERM) => None,
            dir => if_exists(refuse_mount_point(dir, || walk.path_of(name)))?,
        };
        if let Some(dir) = opened {
            walk.enter(name, dir)?;
            subdirectories.pop();
            pending.push(directory(&walk, user, &mut found)?);
        } else {
            subdirectories.pop();
        }
    }
    Ok(found)
}

/// Looks at the entries of the current directory. Returns its subdirectories.
fn directory(walk: &Walk, user: Uid, found: &mut Option<Uid>) -> Result<Names> {
    let here = walk.current()?;
    let mut subdirectories = Names::default();
    let listed = here.for_each_entry(|name, _| {
        let Ok(stat) = here.stat(name) else { return Ok(()) };
        if stat.uid() != user {
            found.get_or_insert(stat.uid());
        }
        if stat.kind() == Kind::Directory {
            subdirectories.push(name);
        }
        Ok(())
    });
    listed.at("read the directory", walk.path())?.map(|()| subdirectories)
}
