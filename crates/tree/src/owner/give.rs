//! Giving a tree to the job user.

use std::ffi::OsStr;

use error::{Context as _, Error, Result};
use sys::{Dir, Kind, Name, owner};

use super::{Ids, check_hard_links};
use crate::names::Names;
use crate::refuse_mount_point;
use crate::two_threads::{self, MANY_ENTRIES, Part, Shared};
use crate::walk::Walk;

/// Gives everything below `top` to the job user, but not the top itself: it belongs to the batch
/// user and is closed to others, so that the job user can't reach what it has been given before
/// [`commit`]. [`scan`](super::scan()) has found nothing against it.
///
/// Each directory is given after all that is in it. `heartbeat` is called for each entry.
pub fn give(top: Dir, path: &OsStr, ids: &Ids, heartbeat: &mut dyn FnMut()) -> Result<()> {
    check_hard_links(path)?;
    let stat = top.stat_self().at("examine", path)?;
    if sys::Owner::of(&stat) != ids.batch || stat.mode() & 0o077 != 0 {
        return Err(Error::refused(
            path,
            "it has to be the batch user's, and closed to group and others, while it is given",
        ));
    }
    let many = stat.size() >= MANY_ENTRIES;
    let (shared, two) = if many {
        (Shared::unread(), true)
    } else {
        let again = top.try_clone().at("open", path)?;
        let subdirectories = files(&Walk::new(again, path), ids, Part::All, heartbeat)?;
        let two = subdirectories.len() > 1;
        (Shared::of(subdirectories), two)
    };
    let given = two_threads::run(&shared, two, heartbeat, |part, heartbeat| {
        let mut walk = Walk::new(top.reopen().at("open", path)?, path);
        if many {
            shared.add(files(&walk, ids, part, heartbeat)?);
        }
        while let Some(name) = shared.next(heartbeat) {
            subtree(&mut walk, name.name(), ids, heartbeat)?;
        }
        Ok(())
    });
    given.map(drop)
}

/// Gives a subdirectory of the current directory, after everything below it.
fn subtree(walk: &mut Walk, name: Name<'_>, ids: &Ids, heartbeat: &mut dyn FnMut()) -> Result<()> {
    let mut pending = vec![enter(walk, name, ids, heartbeat)?];
    while let Some(subdirectories) = pending.last_mut() {
        if let Some(name) = subdirectories.last() {
            let below = enter(walk, name, ids, heartbeat)?;
            subdirectories.pop();
            pending.push(below);
        } else {
            pending.pop();
            let path = walk.path().to_os_string();
            if let Some(complete) = walk.leave()? {
                owner::set(&complete, ids.job).at("change the owner of", path)?;
            }
        }
    }
    Ok(())
}

/// Enters a subdirectory, and gives its entries as [`files`].
fn enter(walk: &mut Walk, name: Name<'_>, ids: &Ids, heartbeat: &mut dyn FnMut()) -> Result<Names> {
    walk.check_depth()?;
    let opened = walk.current()?.open_dir(name);
    let dir = refuse_mount_point(opened, || walk.path_of(name))?;
    walk.enter(name, dir)?;
    files(walk, ids, Part::All, heartbeat)
}

/// Gives the top of a tree to the job user, and then its mode: from now on the tree is the job
/// user's.
pub fn commit(top: &Dir, path: &OsStr, ids: &Ids, mode: u32) -> Result<()> {
    owner::set(top, ids.job).at("change the owner of", path)?;
    top.set_mode(mode & 0o777).at("set the mode of", path)
}

/// Gives a part of the entries of the current directory, but for the subdirectories, which it
/// returns.
fn files(walk: &Walk, ids: &Ids, part: Part, heartbeat: &mut dyn FnMut()) -> Result<Names> {
    let here = walk.current()?;
    let mut subdirectories = Names::default();
    let listed = here.for_each_entry(|name, kind| {
        if !part.has(name) {
            return Ok(());
        }
        heartbeat();
        let kind = match kind {
            Some(kind) => kind,
            None => here.stat(name).at_entry("examine", || walk.path_of(name))?.kind(),
        };
        if kind == Kind::Directory {
            subdirectories.push(name);
            return Ok(());
        }
        owner::set_at(here, name, ids.job).at_entry("change the owner of", || walk.path_of(name))
    });
    listed.at("read the directory", walk.path())?.map(|()| subdirectories)
}
