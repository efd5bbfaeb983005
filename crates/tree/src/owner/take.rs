//! Taking a tree back from the job user.

use std::ffi::OsStr;

use error::{Context as _, Error, Result};
use sys::{Dir, file_lease};
use wire::Links;

use super::replace::Replacer;
use super::taker::Taker;
use super::totals::Taken;
use super::{Ids, check_hard_links, foreign, second_pass};
use crate::Place;
use crate::two_threads::{self, MANY_ENTRIES, Part, Shared};
use crate::walk::Walk;

/// What is done to a tree that is taken back.
#[derive(Clone, Copy, Debug)]
pub enum Policy {
    /// It gets what a copy would have: modes without set-user-ID, set-group-ID and sticky bits,
    /// with all permissions for the owner; no attributes but the user's; no devices, sockets and
    /// FIFOs. Links that leave the tree are removed, unless the policy is to keep them.
    /// ([`copy_link_targets`](super::copy_link_targets) has put copies in the place of those that
    /// lead to readable files.)
    Return(Links, Job),
    /// It stays as it is: the job user never had it.
    Exact,
}

/// Whether the job user has processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// It has none: the caller has ended them, and no other can be started.
    Ended,
    /// It may have some.
    MayRun,
}

/// Takes a tree back, its top included. What the job user can still open of it, and what processes
/// outside of the job have open, does not change it any more. `place` is the directory for
/// temporary names, on the same file system. `heartbeat` is called for each entry, or from time to
/// time.
///
/// [`scan`](super::scan()) has found nothing against it. What the job changes after that can't keep
/// the tree: a directory is closed to group and others, and an entry of a third user stays as it
/// is.
///
/// Each directory becomes the batch user's, and closed to all changes by others, before it is read.
/// A file is copied if that is not enough ([`Copied`](super::Copied)).
///
/// The tree has to be copied as a whole, which is an [`Error::Refused`] before anything is changed,
/// if every file would have to be: where the file system has no leases; and in memory (tmpfs) if a
/// process of the job may run, which can write to a file there without any descriptor.
pub fn take(
    top: Dir,
    path: &OsStr,
    ids: &Ids,
    policy: Policy,
    place: &Place,
    heartbeat: &mut dyn FnMut(),
) -> Result<Taken> {
    check_hard_links(path)?;
    file_lease::ignore_breaks();
    let stat = top.stat_self().at("examine", path)?;
    if !ids.include(&stat) {
        return Err(foreign(path.to_os_string()));
    }
    let mut walk = Walk::new(top.try_clone().at("open", path)?, path);
    let mut taker = Taker::new(ids, policy, place, heartbeat);
    if let Policy::Return(_, job) = policy {
        check_proofs(&mut taker, &top, path, job)?;
    }
    let modified = taker.close(&top, path)?;
    let many = stat.size() >= MANY_ENTRIES;
    let (shared, two) = if many {
        (Shared::unread(), true)
    } else {
        let subdirectories = taker.entries(&walk, modified, Part::All)?;
        let two = subdirectories.len() > 1;
        (Shared::of(subdirectories), two)
    };
    let (first, second) =
        two_threads::run(&shared, two, &mut *taker.heartbeat, |part, heartbeat| {
            let mut taker = Taker::new(ids, policy, place, heartbeat);
            let again = top.reopen().at("open", path)?;
            let mut walk = Walk::new(again, path);
            if many {
                shared.add(taker.entries(&walk, modified, part)?);
            }
            while let Some(name) = shared.next(&mut *taker.heartbeat) {
                taker.subtree(&mut walk, name.name())?;
            }
            Ok(taker.parts())
        })?;
    taker.add(first);
    second.into_iter().for_each(|second| taker.add(second));
    if let Some(table) = std::mem::take(&mut taker.deferred).table() {
        second_pass::run(&mut taker, &mut walk, table)?;
    }
    taker.finish(&top, path)
}

/// An error if what is given at this place can't be taken back, because every file would have to be
/// copied: its file system has no leases, or they prove nothing.
pub fn check_leases(place: &Place, ids: &Ids) -> Result<()> {
    let path = place.path_of(place.name.name());
    check_leases_with(&mut Replacer::new(place, ids.batch), &place.parent, path.as_os_str())
}

fn check_leases_with(replacer: &mut Replacer<'_>, dir: &Dir, path: &OsStr) -> Result<()> {
    if !file_lease::are_proof(dir) {
        let why = "its file system is served by another process or machine (FUSE, 9p), which can \
                   let others write to a file unseen: copy it, or put it on a local disk";
        return Err(Error::refused(path, why));
    }
    replacer.check_leases()?.map_err(|cause| {
        let why = format!("its file system grants no leases of files (fcntl(2), {cause})");
        Error::refused(path, why)
    })
}

/// Takes back what [`give`](super::give()) has given of a tree, and [`commit`](super::commit) has
/// not. The tree becomes what it was; its top keeps its mode.
pub fn undo(
    top: Dir,
    path: &OsStr,
    ids: &Ids,
    place: &Place,
    heartbeat: &mut dyn FnMut(),
) -> Result<Taken> {
    take(top, path, ids, Policy::Exact, place, heartbeat)
}

/// An error if it can be proved of no file that no process can write to it.
fn check_proofs(taker: &mut Taker<'_>, top: &Dir, path: &OsStr, job: Job) -> Result<()> {
    if job == Job::MayRun && !file_lease::counts_all_writers(top) {
        let why = "a process of the job can write to files in memory without a descriptor: end \
                   it first, or the sandbox is copied";
        return Err(Error::refused(path, why));
    }
    check_leases_with(&mut taker.replacer, top, path)
}
