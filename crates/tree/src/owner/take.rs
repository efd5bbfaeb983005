//! Taking a tree back from the job user.

use std::ffi::OsStr;

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name, Owner, Time, file_lease, owner};
use wire::Links;

use super::attributes::Buffers;
use super::deferred::Deferred;
use super::file::Change;
use super::replace::Replacer;
use super::totals::Taken;
use super::{Ids, check_hard_links, foreign, keep_path, second_pass};
use crate::link_filter::LinkFilter;
use crate::names::Names;
use crate::two_threads::{self, MANY_ENTRIES, Part, Shared};
use crate::walk::Walk;
use crate::{Place, if_exists, refuse_mount_point};

/// What is done to a tree that is taken back.
#[derive(Clone, Copy, Debug)]
pub enum Policy {
    /// It gets what a copy would have: modes without set-user-ID, set-group-ID and sticky bits,
    /// with all permissions for the owner; no attributes but the user's; no devices, sockets and
    /// FIFOs.
    /// Links that leave the tree are removed, unless they are to be kept.
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
    taker.check_proofs(&top, path, policy)?;
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

/// Takes back what [`give`](super::give) has given of a tree, and [`commit`](super::commit) has
/// not. The tree becomes what it was; its top keeps its mode.
pub fn undo(
    top: Dir,
    path: &OsStr,
    ids: &Ids,
    place: &Place,
    heartbeat: &mut dyn FnMut(),
) -> Result<()> {
    take(top, path, ids, Policy::Exact, place, heartbeat).map(drop)
}

/// Takes parts of a tree.
pub(super) struct Taker<'a> {
    pub(super) ids: &'a Ids,
    /// Modes and attributes stay as they are.
    pub(super) exact: bool,
    pub(super) buffers: Buffers,
    pub(super) replacer: Replacer<'a>,
    pub(super) deferred: Deferred,
    filter: Option<LinkFilter>,
    pub(super) taken: Taken,
    /// Whether an entry of the current directory was removed or replaced.
    pub(super) changed: bool,
    pub(super) heartbeat: &'a mut dyn FnMut(),
}

/// What a thread has to report.
type Parts = (Taken, Deferred, Option<LinkFilter>);

impl<'a> Taker<'a> {
    fn new(ids: &'a Ids, policy: Policy, place: &'a Place, heartbeat: &'a mut dyn FnMut()) -> Self {
        let filters = matches!(policy, Policy::Return(Links::Copy | Links::Drop, _));
        Taker {
            ids,
            exact: matches!(policy, Policy::Exact),
            buffers: Buffers::default(),
            replacer: Replacer::new(place, ids.batch),
            deferred: Deferred::default(),
            filter: filters.then(LinkFilter::default),
            taken: Taken::default(),
            changed: false,
            heartbeat,
        }
    }

    /// An error if it can be proved of no file that no process can write to it.
    fn check_proofs(&mut self, top: &Dir, path: &OsStr, policy: Policy) -> Result<()> {
        if matches!(policy, Policy::Return(_, Job::MayRun)) && !file_lease::counts_all_writers(top)
        {
            let why = "a process of the job can write to files in memory without a descriptor: end \
                       it first, or the sandbox is copied";
            return Err(Error::refused(path, why));
        }
        match self.replacer.check_leases()? {
            Ok(()) => Ok(()),
            Err(cause) => {
                let why = format!("its file system grants no leases of files (fcntl(2), {cause})");
                Err(Error::refused(path, why))
            }
        }
    }

    fn parts(self) -> Parts {
        (self.taken, self.deferred, self.filter)
    }

    fn add(&mut self, (taken, deferred, filter): Parts) {
        self.taken.add(taken);
        self.deferred.append(deferred);
        if let (Some(filter), Some(other)) = (&mut self.filter, filter) {
            filter.add(other);
        }
    }

    /// Takes a subdirectory of the current directory, and everything below it.
    fn subtree(&mut self, walk: &mut Walk, name: Name<'_>) -> Result<()> {
        let mut pending = Vec::from_iter(self.directory(walk, name)?);
        while let Some(subdirectories) = pending.last_mut() {
            if let Some(name) = subdirectories.last() {
                let below = self.directory(walk, name)?;
                subdirectories.pop();
                pending.extend(below);
            } else {
                pending.pop();
                walk.leave()?;
            }
        }
        Ok(())
    }

    /// Enters a subdirectory, and takes it and its entries. Returns its subdirectories; None if it
    /// does not exist any more.
    fn directory(&mut self, walk: &mut Walk, name: Name<'_>) -> Result<Option<Names>> {
        walk.check_depth()?;
        let opened = refuse_mount_point(walk.current()?.open_dir(name), || walk.path_of(name));
        let Some(dir) = if_exists(opened)? else { return Ok(None) };
        let modified = self.close(&dir, &walk.path_of(name))?;
        walk.enter(name, dir)?;
        self.taken.totals.directories += 1;
        self.entries(walk, modified, Part::All).map(Some)
    }

    /// Makes a directory the batch user's, and takes all rights from others to change it, by its
    /// mode and by access control lists. Returns its time.
    ///
    /// It gets its final mode at once: a crash loses none.
    fn close(&mut self, dir: &Dir, path: &OsStr) -> Result<Time> {
        let stat = dir.stat_self().at("examine", path)?;
        if Owner::of(&stat) != self.ids.batch {
            owner::set(dir, self.ids.batch).at("change the owner of", path)?;
        }
        let mut dropped = 0;
        let mode = if self.exact {
            stat.mode()
        } else {
            let found = self.buffers.list(dir).at("list the attributes of", path)?;
            dropped = found.dropped;
            self.taken.dropped.attributes += dropped;
            self.count_bits(stat.mode());
            found.mode(stat.mode()) | self.owner_bits(Kind::Directory)
        } & !0o022;
        if mode != stat.mode() {
            dir.set_mode(mode).at("set the mode of", path)?;
        }
        let removed = dropped == 0
            || self.buffers.remove_dropped(dir).at("remove the attributes of", path)?;
        if !removed {
            return Err(Error::refused(path, "it has an attribute that can't be removed"));
        }
        Ok(stat.modified())
    }

    /// Takes a part of the entries of the current directory, which is closed; it keeps its time.
    /// Returns the subdirectories among them.
    fn entries(&mut self, walk: &Walk, modified: Time, part: Part) -> Result<Names> {
        let here = walk.current()?;
        let mut subdirectories = Names::default();
        self.changed = false;
        let listed = here.for_each_entry(|name, _| {
            if !part.has(name) {
                return Ok(());
            }
            (self.heartbeat)();
            if self.entry(walk, here, name)? {
                subdirectories.push(name);
            }
            Ok(())
        });
        listed.at("read the directory", walk.path())??;
        if self.changed {
            here.set_modified(modified).at("set the time of", walk.path())?;
        }
        Ok(subdirectories)
    }

    /// Takes an entry, unless it is a directory to be taken: then it returns true.
    fn entry(&mut self, walk: &Walk, here: &Dir, name: Name<'_>) -> Result<bool> {
        let path = || walk.path_of(name);
        let stat = match here.stat(name) {
            Err(Errno::ENOENT) => return Ok(false),
            stat => refuse_mount_point(stat, path)?,
        };
        if !self.ids.include(&stat) {
            self.taken.foreign += 1;
            keep_path(&mut self.taken.named_foreign, &path());
            return Ok(false);
        }
        match stat.kind() {
            Kind::Directory => return Ok(true),
            Kind::Special => {
                self.taken.dropped.specials += 1;
                self.changed = true;
                here.remove_file(name).at_entry("remove", path)?;
            }
            Kind::Symlink => self.symlink(walk, here, name, stat.nlink())?,
            Kind::File if stat.nlink() > 1 => {
                self.deferred.add(stat.identity().1, walk.path())?;
            }
            Kind::File => match self.change(walk, name, &stat, 1)? {
                Change::Changed => self.taken.totals.files += 1,
                Change::Copy(file, stat, reason) => {
                    self.replace(walk, name, (&file, &stat), reason)?;
                    self.taken.totals.files += 1;
                }
                Change::Linked | Change::Leased => {
                    self.deferred.add(stat.identity().1, walk.path())?;
                }
            },
        }
        Ok(false)
    }

    /// Takes a symbolic link, or removes it if it leaves the tree.
    fn symlink(&mut self, walk: &Walk, here: &Dir, name: Name<'_>, names: u64) -> Result<()> {
        let path = || walk.path_of(name);
        if let Some(filter) = &mut self.filter {
            let target = here.read_link(name).at_entry("read the link", path)?;
            if !filter.allows(walk, name, &target)? {
                self.changed = true;
                return here.remove_file(name).at_entry("remove the link", path);
            }
        }
        if names > 1 {
            let stat = here.stat(name).at_entry("examine", path)?;
            return self.deferred.add(stat.identity().1, walk.path());
        }
        self.taken.totals.symlinks += 1;
        owner::set_at(here, name, self.ids.batch).at_entry("change the owner of", path)
    }

    /// The mode bits that the owner of what comes back always has.
    pub(super) fn owner_bits(&self, kind: Kind) -> u32 {
        match kind {
            _ if self.exact => 0,
            Kind::Directory => 0o700,
            _ => 0o600,
        }
    }

    /// Counts a file that loses set-user-ID, set-group-ID or the sticky bit.
    pub(super) fn count_bits(&mut self, mode: u32) {
        self.taken.dropped.bits += u64::from(mode & 0o7000 != 0);
    }

    /// Removes the links that the complete tree shows to leave it.
    fn finish(mut self, top: &Dir, path: &OsStr) -> Result<Taken> {
        if let Some(filter) = self.filter.take() {
            let (links, removed) = filter.finish(top, path)?;
            (self.taken.dropped.links, self.taken.removed_links) = (links, removed);
        }
        Ok(self.taken)
    }
}
