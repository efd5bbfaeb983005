//! What a copy of a tree needs.

use std::ffi::OsStr;

use error::{Context as _, Result};
use sys::{Dir, Errno, Kind};
use wire::Needs;

use super::content::LARGE;
use super::descent::Descent;
use super::names::Names;
use super::{opened, vanished};

/// Adds up what the files below `top` need, shown as `path`. What can't be read is left out: it is
/// a lower bound, meant to tell early that there is no hope. `beat` is called for each entry.
pub fn measure(top: Dir, path: &OsStr, beat: &mut dyn FnMut()) -> Result<Needs> {
    let mut walk = Descent::new(top, path);
    let mut needs = Needs::default();
    let mut way = vec![directory(&walk, &mut needs, beat)?];
    while let Some(here) = way.last_mut() {
        if let Some(name) = here.last() {
            walk.check_depth()?;
            let entered = match walk.here()?.open_dir(name) {
                Err(Errno::EACCES | Errno::EPERM) => None,
                dir => vanished(opened(dir, || walk.path_of(name)))?,
            };
            match entered {
                Some(dir) => {
                    walk.enter(name, dir)?;
                    here.pop();
                    way.push(directory(&walk, &mut needs, beat)?);
                }
                None => here.pop(),
            }
        } else {
            way.pop();
            walk.leave()?;
        }
    }
    Ok(needs)
}

/// Adds up the entries of the directory where the walk is; returns the subdirectories.
fn directory(walk: &Descent, needs: &mut Needs, beat: &mut dyn FnMut()) -> Result<Names> {
    let here = walk.here()?;
    let mut subdirectories = Names::default();
    let own = here.stat_self().at("examine", walk.path())?;
    needs.inodes += 1;
    needs.bytes = needs.bytes.saturating_add(own.allocated());
    let listed = here.for_each_entry(|name, _| {
        beat();
        let Ok(stat) = here.stat(name) else { return Ok(()) };
        match stat.kind() {
            Kind::Directory => subdirectories.push(name),
            Kind::Symlink => needs.inodes += 1,
            Kind::File => {
                // A file with several names is counted in parts; and as no file, since some names
                // may be elsewhere.
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
