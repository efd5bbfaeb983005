//! How much room a copy of a tree needs.

use std::ffi::OsStr;

use error::{Context as _, Result};
use sys::{Dir, Errno, Kind};
use wire::Needs;

use super::content::LARGE;
use super::names::Names;
use super::walk::Walk;
use super::{if_exists, refuse_mount_point};

/// Adds up what the files below `top` need, which is shown as `path`. What can't be read is left
/// out: the result is a lower bound, which tells early that a copy can't fit. `heartbeat` is called
/// for each entry.
pub fn measure(top: Dir, path: &OsStr, heartbeat: &mut dyn FnMut()) -> Result<Needs> {
    let mut walk = Walk::new(top, path);
    let mut needs = Needs::default();
    let mut pending = vec![directory(&walk, &mut needs, heartbeat)?];
    while let Some(subdirectories) = pending.last_mut() {
        if let Some(name) = subdirectories.last() {
            walk.check_depth()?;
            let opened = match walk.current()?.open_dir(name) {
                Err(Errno::EACCES | Errno::EPERM) => None,
                dir => if_exists(refuse_mount_point(dir, || walk.path_of(name)))?,
            };
            match opened {
                Some(dir) => {
                    walk.enter(name, dir)?;
                    subdirectories.pop();
                    pending.push(directory(&walk, &mut needs, heartbeat)?);
                }
                None => subdirectories.pop(),
            }
        } else {
            pending.pop();
            walk.leave()?;
        }
    }
    Ok(needs)
}

/// Adds up the entries of the current directory. Returns its subdirectories.
fn directory(walk: &Walk, needs: &mut Needs, heartbeat: &mut dyn FnMut()) -> Result<Names> {
    let here = walk.current()?;
    let mut subdirectories = Names::default();
    let own = here.stat_self().at("examine", walk.path())?;
    needs.inodes += 1;
    needs.bytes = needs.bytes.saturating_add(own.allocated());
    let listed = here.for_each_entry(|name, _| {
        heartbeat();
        let Ok(stat) = here.stat(name) else { return Ok(()) };
        match stat.kind() {
            Kind::Directory => subdirectories.push(name),
            Kind::Symlink => needs.inodes += 1,
            Kind::File => {
                // Each name of a file counts for a part of it. Such a file counts as no inode,
                // since some of its names may be elsewhere.
                let part = stat.allocated() / stat.nlink().max(1);
                let room = if stat.size() >= LARGE { &mut needs.large } else { &mut needs.bytes };
                *room = room.saturating_add(part);
                needs.inodes += u64::from(stat.nlink() < 2);
            }
            Kind::Special => {}
        }
        Ok(())
    });
    listed.at("read the directory", walk.path())?.map(|()| subdirectories)
}
