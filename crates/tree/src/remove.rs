//! Deleting a tree.

use std::ffi::OsStr;
use std::path::Path;

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name};

use super::names::Names;
use super::two_threads::{self, Part, Shared};
use super::walk::Walk;
use super::{if_exists, open_dir};

/// From this number of subdirectories on two threads are faster than one.
const TWO_THREADS_FROM: usize = 32;

/// From this number of entries on two threads remove the files of one directory faster.
const MANY: usize = 1000;

/// The files of one directory that the second thread removes.
const SECOND: Part = Part::Half(true);

/// Deletes an entry of `parent`: a tree, or any other kind of file. If the entry does not exist,
/// that is no error.
///
/// Directories of the caller that deny their owner reading or writing get another mode first. A
/// mount point is an error that names it: what is mounted is not touched. Another process may
/// remove the same tree at the same time. `path` is that of `parent`, for messages.
pub fn remove(parent: &Dir, name: Name<'_>, path: impl AsRef<OsStr>) -> Result<()> {
    remove_with(parent, name, path, &mut || ())
}

/// As [`remove`]; `heartbeat` is called for each entry, or from time to time.
pub fn remove_with(
    parent: &Dir,
    name: Name<'_>,
    path: impl AsRef<OsStr>,
    heartbeat: &mut dyn FnMut(),
) -> Result<()> {
    // A process of the job that is about to end may still create files in it.
    let mut tries = 5;
    loop {
        match remove_once(parent, name, path.as_ref(), heartbeat) {
            Err(Error::System { cause: Errno::ENOTEMPTY, .. }) if tries > 0 => tries -= 1,
            removed => return removed,
        }
    }
}

/// Deletes all entries of an open directory but `except`, as [`remove`] does. `path` is that of the
/// directory, for messages.
pub fn empty(top: Dir, except: Option<Name<'_>>, path: impl AsRef<OsStr>) -> Result<()> {
    empty_tree(&Walk::new(top, path), except, &mut || ())
}

fn remove_once(
    parent: &Dir,
    name: Name<'_>,
    path: &OsStr,
    heartbeat: &mut dyn FnMut(),
) -> Result<()> {
    let shown = Path::new(path).join(name.os());
    match parent.remove_file(name) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR) => {}
        Err(cause) => return Err(cause).at("remove", shown),
    }
    let top = Walk::new(open_dir(parent, name, || shown.clone().into_os_string())?, &shown);
    empty_tree(&top, None, heartbeat)?;
    if_exists(parent.remove_dir(name).at("remove the directory", shown)).map(drop)
}

/// Removes everything below `top`, the current directory of the walk, but its entry `except`.
fn empty_tree(top: &Walk, except: Option<Name<'_>>, heartbeat: &mut dyn FnMut()) -> Result<()> {
    let subdirectories = remove_files(top, except, heartbeat)?;
    let two = subdirectories.len() >= TWO_THREADS_FROM;
    let shared = Shared::of(subdirectories);
    let removed = two_threads::run(&shared, two, heartbeat, |_, heartbeat| {
        while let Some(name) = shared.next(heartbeat) {
            remove_subtree(top, name.name(), heartbeat)?;
        }
        Ok(())
    });
    removed.map(drop)
}

/// Removes a subdirectory of the current directory of `above`, and everything below it.
fn remove_subtree(above: &Walk, name: Name<'_>, heartbeat: &mut dyn FnMut()) -> Result<()> {
    let parent = above.current()?;
    let Some(dir) = if_exists(open_dir(parent, name, || above.path_of(name)))? else {
        return Ok(());
    };
    let mut walk = Walk::new(dir, above.path_of(name));
    // For each directory of the walk: the subdirectories still to be removed. The last of them is
    // the one that the walk is in.
    let mut pending = vec![remove_files(&walk, None, heartbeat)?];
    while let Some(subdirectories) = pending.last_mut() {
        if let Some(next) = subdirectories.last() {
            match if_exists(open_dir(walk.current()?, next, || walk.path_of(next)))? {
                Some(dir) => {
                    walk.enter(next, dir)?;
                    pending.push(remove_files(&walk, None, heartbeat)?);
                }
                None => subdirectories.pop(),
            }
            continue;
        }
        pending.pop();
        walk.leave()?;
        if let Some(subdirectories) = pending.last_mut() {
            if let Some(done) = subdirectories.last() {
                if_exists(
                    walk.current()?
                        .remove_dir(done)
                        .at_entry("remove the directory", || walk.path_of(done)),
                )?;
            }
            subdirectories.pop();
        }
    }
    if_exists(parent.remove_dir(name).at_entry("remove the directory", || above.path_of(name)))
        .map(drop)
}

/// Removes all entries of the current directory but `except` and the subdirectories. Returns the
/// subdirectories.
fn remove_files(
    walk: &Walk,
    except: Option<Name<'_>>,
    heartbeat: &mut dyn FnMut(),
) -> Result<Names> {
    let here = walk.current()?;
    let mode = here.stat_self().at("examine", walk.path())?.mode();
    if mode & 0o700 != 0o700 {
        here.set_mode(mode | 0o700).at("set the mode of", walk.path())?;
    }
    let (mut subdirectories, mut seen) = (Names::default(), 0);
    std::thread::scope(|scope| {
        let mut other = None;
        let listed = here.for_each_entry(|name, kind| {
            seen += 1;
            if seen == MANY && here.is_faster_with_two_threads() {
                if let Ok(second) = here.reopen() {
                    // From now on the second thread removes every second name, from the beginning
                    // of the directory.
                    let rest = move || remove_every_second(walk, &second, except);
                    other = std::thread::Builder::new().spawn_scoped(scope, rest).ok();
                }
            }
            heartbeat();
            if Some(name) == except {
                return Ok(());
            }
            // Both threads try entries whose kind is not known.
            if other.is_some()
                && SECOND.has(name)
                && kind.is_some_and(|kind| kind != Kind::Directory)
            {
                return Ok(());
            }
            if !remove_file(walk, here, name, kind)? {
                subdirectories.push(name);
            }
            Ok(())
        });
        let removed = match other.map(std::thread::ScopedJoinHandle::join) {
            Some(Ok(removed)) => removed,
            Some(Err(_)) | None => Ok(()),
        };
        listed.at("read the directory", walk.path())?.and(removed)
    })?;
    Ok(subdirectories)
}

/// Removes every second file of the current directory, which is open once more as `here`.
fn remove_every_second(walk: &Walk, here: &Dir, except: Option<Name<'_>>) -> Result<()> {
    let listed = here.for_each_entry(|name, kind| match kind {
        Some(Kind::Directory) => Ok(()),
        _ if !SECOND.has(name) || Some(name) == except => Ok(()),
        kind => remove_file(walk, here, name, kind).map(drop),
    });
    listed.at("read the directory", walk.path())?
}

/// Removes an entry. False if it is a directory, which stays.
fn remove_file(walk: &Walk, here: &Dir, name: Name<'_>, kind: Option<Kind>) -> Result<bool> {
    if kind == Some(Kind::Directory) {
        return Ok(false);
    }
    match here.remove_file(name) {
        Err(Errno::EISDIR) => Ok(false),
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        Err(cause) => Err(cause).at_entry("remove", || walk.path_of(name)),
    }
}
