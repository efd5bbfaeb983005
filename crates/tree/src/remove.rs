//! Deleting a tree.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name, OwnedName};

use super::descent::Descent;
use super::names::Names;
use super::{open_dir, vanished};

/// From so many subdirectories on a second thread is worth its start.
const FOR_TWO: usize = 32;

/// From so many entries on the files of one directory are worth a second thread.
const MANY: usize = 1000;

/// How long the first thread to end waits before it looks again whether the other one has.
const MOMENT: Duration = Duration::from_millis(1);

/// Deletes what has the name in `parent`: a tree, or any other kind of file. Nothing there is a
/// success.
///
/// Directories of the caller's that can't be read or written are opened up first. A mount point is
/// an error that names it: what is mounted is not touched. Somebody else may be removing the same
/// tree. `path` is that of `parent`, for messages.
pub fn remove(parent: &Dir, name: Name<'_>, path: impl AsRef<OsStr>) -> Result<()> {
    remove_with(parent, name, path, &mut || ())
}

/// As [`remove`]; `beat` is called for each entry, or now and then.
pub fn remove_with(
    parent: &Dir,
    name: Name<'_>,
    path: impl AsRef<OsStr>,
    beat: &mut dyn FnMut(),
) -> Result<()> {
    // Somebody else may also be creating files in it, for a while.
    let mut tries = 5;
    loop {
        match remove_once(parent, name, path.as_ref(), beat) {
            Err(Error::System { cause: Errno::ENOTEMPTY, .. }) if tries > 0 => tries -= 1,
            removed => return removed,
        }
    }
}

/// Deletes everything in an open directory but the entry `except`, as [`remove`]; it stays itself.
/// `path` is its own, for messages.
pub fn empty(top: Dir, except: Option<Name<'_>>, path: impl AsRef<OsStr>) -> Result<()> {
    empty_tree(&Descent::new(top, path), except, &mut || ())
}

fn remove_once(parent: &Dir, name: Name<'_>, path: &OsStr, beat: &mut dyn FnMut()) -> Result<()> {
    let shown = Path::new(path).join(name.os());
    match parent.remove_file(name) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR) => {}
        Err(cause) => return Err(cause).at("remove", shown),
    }
    let top = Descent::new(open_dir(parent, name, || shown.clone().into_os_string())?, &shown);
    empty_tree(&top, None, beat)?;
    vanished(parent.remove_dir(name).at("remove the directory", shown)).map(drop)
}

/// Removes everything below `top`, where the walk is, but its entry `except`.
fn empty_tree(top: &Descent, except: Option<Name<'_>>, beat: &mut dyn FnMut()) -> Result<()> {
    let subdirectories = empty_here(top, except, beat)?;
    let two = subdirectories.count() >= FOR_TWO;
    let left = Mutex::new(subdirectories);
    // One thread works while the other waits for the disk.
    let done_by_other = AtomicU64::new(0);
    let mut count = || {
        done_by_other.fetch_add(1, Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        let second = std::thread::Builder::new();
        let other = two.then(|| second.spawn_scoped(scope, || remove_each(top, &left, &mut count)));
        let removed = remove_each(top, &left, beat);
        // Where there is no room for a second thread, the first one has done it all.
        let Some(Ok(other)) = other else { return removed };
        let mut seen = 0;
        while !other.is_finished() {
            std::thread::sleep(MOMENT);
            let done = done_by_other.load(Ordering::Relaxed);
            if std::mem::replace(&mut seen, done) != done {
                beat();
            }
        }
        removed.and(other.join().unwrap_or(Ok(())))
    })
}

/// Removes one subdirectory of `top` after the other, as long as some are left.
fn remove_each(top: &Descent, left: &Mutex<Names>, beat: &mut dyn FnMut()) -> Result<()> {
    let next = || {
        let mut left = left.lock().ok()?;
        let name = OwnedName::from(left.last()?);
        left.pop();
        Some(name)
    };
    while let Some(name) = next() {
        remove_subtree(top, name.name(), beat)?;
    }
    Ok(())
}

/// Removes a subdirectory of the directory where `above` is, and everything below it.
fn remove_subtree(above: &Descent, name: Name<'_>, beat: &mut dyn FnMut()) -> Result<()> {
    let parent = above.here()?;
    let Some(dir) = vanished(open_dir(parent, name, || above.path_of(name)))? else {
        return Ok(());
    };
    let mut walk = Descent::new(dir, above.path_of(name));
    // For each directory from there down to where the walk is: the subdirectories still to be
    // removed. The last of them is the one that the walk is in.
    let mut way = vec![empty_here(&walk, None, beat)?];
    while let Some(here) = way.last_mut() {
        if let Some(next) = here.last() {
            match vanished(open_dir(walk.here()?, next, || walk.path_of(next)))? {
                Some(dir) => {
                    walk.enter(next, dir)?;
                    way.push(empty_here(&walk, None, beat)?);
                }
                None => here.pop(),
            }
            continue;
        }
        way.pop();
        walk.leave()?;
        if let Some(here) = way.last_mut() {
            if let Some(done) = here.last() {
                vanished(
                    walk.here()?
                        .remove_dir(done)
                        .at_entry("remove the directory", || walk.path_of(done)),
                )?;
            }
            here.pop();
        }
    }
    vanished(parent.remove_dir(name).at_entry("remove the directory", || above.path_of(name)))
        .map(drop)
}

/// Removes all entries of the directory where the walk is but `except`, and the subdirectories,
/// which it returns.
fn empty_here(walk: &Descent, except: Option<Name<'_>>, beat: &mut dyn FnMut()) -> Result<Names> {
    let here = walk.here()?;
    let mode = here.stat_self().at("examine", walk.path())?.mode();
    if mode & 0o700 != 0o700 {
        here.set_mode(mode | 0o700).at("open up", walk.path())?;
    }
    let (mut subdirectories, mut seen) = (Names::default(), 0);
    std::thread::scope(|scope| {
        let mut other = None;
        let listed = here.for_each_entry(|name, kind| {
            seen += 1;
            if seen == MANY && here.is_faster_with_two_threads() {
                if let Ok(second) = here.reopen() {
                    // From here on the other thread has every second name, wherever in the
                    // directory it is.
                    let rest = move || remove_every_second(walk, &second, except);
                    other = std::thread::Builder::new().spawn_scoped(scope, rest).ok();
                }
            }
            beat();
            if Some(name) == except {
                return Ok(());
            }
            // Where the kind is not known, both try.
            if other.is_some()
                && is_second(name)
                && kind.is_some_and(|kind| kind != Kind::Directory)
            {
                return Ok(());
            }
            if remove_file(walk, here, name, kind)? == Kind::Directory {
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

/// Removes every second file of the directory where the walk is, open once more as `here`.
fn remove_every_second(walk: &Descent, here: &Dir, except: Option<Name<'_>>) -> Result<()> {
    let listed = here.for_each_entry(|name, kind| match kind {
        Some(Kind::Directory) => Ok(()),
        _ if !is_second(name) || Some(name) == except => Ok(()),
        kind => remove_file(walk, here, name, kind).map(drop),
    });
    listed.at("read the directory", walk.path())?
}

/// Divides names into two halves, in any order.
fn is_second(name: Name<'_>) -> bool {
    name.bytes().iter().fold(0, |sum, byte| sum ^ byte) & 1 == 1
}

/// Removes an entry, unless it is a directory; tells whether it is one.
fn remove_file(walk: &Descent, here: &Dir, name: Name<'_>, kind: Option<Kind>) -> Result<Kind> {
    if kind == Some(Kind::Directory) {
        return Ok(Kind::Directory);
    }
    match here.remove_file(name) {
        Err(Errno::EISDIR) => Ok(Kind::Directory),
        Ok(()) | Err(Errno::ENOENT) => Ok(Kind::File),
        Err(cause) => Err(cause).at_entry("remove", || walk.path_of(name)),
    }
}
