//! Changing the owner of a tree from the batch user to the job user and back, instead of copying
//! it. The result is the one that a copy would have.
//!
//! The caller is root of a user namespace that maps exactly the two users' ids ([`Ids`]). So the
//! kernel refuses every change of a file that belongs to a third user, whatever the job does.
//!
//! - [`scan()`] reads a tree and refuses one that has to be copied; it changes nothing;
//! - [`give()`] gives a tree to the job user, all but its top; [`commit`] gives the top;
//! - [`take()`] gives a tree back to the batch user. After it no process of the job, and none that
//!   got a descriptor from the job, can write to a file of the tree or change a directory;
//! - [`undo`] takes back what `give` has given when it could not be completed;
//! - [`copy_link_targets`] puts copies in the place of links that leave the tree. It runs as the
//!   job user, before `take`;
//! - [`sweep`] removes what a call that was killed has left beside the tree.
//!
//! Each can be repeated after a crash. In between some entries belong to one user and some to the
//! other; every file is whole.
//!
//! # What a process that has something of the tree open can still do
//!
//! A process that has a file of the tree open for reading can read it as long as it exists, also
//! what the batch user writes to it later. So can one that has a directory or a file open without
//! any access (`O_PATH`), where the mode lets others read. A copy would not allow that.

use std::ffi::{OsStr, OsString};

use error::{Error, Result, Shown};
use sys::{Owner, Stat, namespace};

mod attributes;
mod deferred;
mod file;
mod give;
mod leftovers;
mod link_targets;
mod replace;
mod scan;
mod second_pass;
mod take;
mod taker;
mod totals;

pub use give::{commit, give};
pub use leftovers::sweep;
pub use link_targets::copy_link_targets;
pub use scan::{Scan, scan};
pub use take::{Job, Policy, check_leases, take, undo};
pub use totals::{Copied, Taken};

/// In which direction the owner of a tree changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the batch user to the job user.
    Give,
    /// From the job user to the batch user.
    Take,
}

/// The ids of the two users, as this process's user namespace maps them.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    batch: Owner,
    job: Owner,
}

impl Ids {
    /// The two users; an error unless this process's user namespace maps exactly their ids.
    pub fn new(batch: Owner, job: Owner) -> Result<Ids> {
        if !namespace::maps_only([batch, job]) {
            let why = "it does not map exactly the ids of the batch user and the job user";
            return Err(Error::refused("the user namespace of this process", why));
        }
        Ok(Ids { batch, job })
    }

    /// Whether a file belongs to one of the two: user and group.
    fn include(&self, stat: &Stat) -> bool {
        [self.batch, self.job].contains(&Owner::of(stat))
    }
}

/// The error for an entry that belongs to neither user. The namespace does not map its owner, so
/// the ids are not known here.
fn foreign(path: OsString) -> Error {
    Error::refused(
        path,
        "its user or group is neither the batch user's nor the job user's: its owner has to \
         change that (chgrp), or the sandbox is copied",
    )
}

/// The error if the kernel does not protect hard links: every user could make a further name of a
/// file, at any time.
fn check_hard_links(path: &OsStr) -> Result<()> {
    if sys::owner::hard_links_are_protected() {
        return Ok(());
    }
    let why = "any user can make hard links to its files: set fs.protected_hardlinks to 1 \
               (sysctl(8)), or the sandbox is copied";
    Err(Error::refused(path, why))
}

/// How many paths are kept of entries that stay or are left behind.
const MAX_NAMED: usize = 20;

/// Adds a path to those that are kept.
fn keep_path(named: &mut Vec<String>, path: &OsStr) {
    if named.len() < MAX_NAMED {
        named.push(Shown::os(path).to_string());
    }
}
