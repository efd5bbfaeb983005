//! What a change of owner that was killed has left beside a tree.

use std::ops::ControlFlow;

use sys::{Dir, Errno, Name};

use super::Ids;
use crate::temporary_dir::Digits;
use crate::{Place, remove, sandbox_name};

/// The mode of the directories of a change; they may inherit set-group-ID.
const MODE: u32 = 0o700;

/// Removes the directories with temporary names that a killed change of owner has left beside the
/// tree at `place`: those of the two users that contain nothing but what such a change puts there.
/// What cannot be removed stays.
///
/// The caller excludes that another process changes the owner of this tree meanwhile. What the
/// helpers have under temporary names is not touched: they may be in the middle of their work.
/// Their tickets are empty directories, which they have locked; the directory with a copy of the
/// proxy has another mode.
pub fn sweep(place: &Place, ids: &Ids) {
    place.visit_leftovers(|name, owner| {
        let is_theirs = [ids.batch.uid, ids.job.uid].contains(&owner);
        if is_theirs && is_of_a_change(place, name) {
            let _ = remove(&place.parent, name, &place.path);
        }
        ControlFlow::Continue(())
    });
}

/// Whether this is a directory as a change of owner makes it, which no process has locked, and
/// which contains only copies, which have numbers as their names, and directories of copies.
fn is_of_a_change(place: &Place, name: Name<'_>) -> bool {
    let Ok(dir) = place.parent.open_dir(name) else { return false };
    if !dir.stat_self().is_ok_and(|found| found.mode() & !0o2000 == MODE) || is_locked(&dir) {
        return false;
    }
    let listed = dir.for_each_entry(|name, _| {
        let bytes = name.bytes();
        if Digits::are(bytes) || sandbox_name(bytes) != bytes { Ok(()) } else { Err(()) }
    });
    matches!(listed, Ok(Ok(())))
}

/// Whether another process has locked it. Where the file system has no locks, none has.
fn is_locked(dir: &Dir) -> bool {
    matches!(dir.lock(), Err(Errno::EAGAIN))
}
