//! Taking the directories and entries of a tree one by one.

use std::ffi::OsStr;

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name, Owner, Stat, Time, owner};
use wire::Links;

use super::attributes::Buffers;
use super::deferred::Deferred;
use super::file::{self, Change, Reason};
use super::replace::Replacer;
use super::take::Policy;
use super::totals::Taken;
use super::{Ids, keep_path};
use crate::link_filter::LinkFilter;
use crate::names::Names;
use crate::two_threads::Part;
use crate::walk::Walk;
use crate::{Place, if_exists, refuse_mount_point};

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
pub(super) type Parts = (Taken, Deferred, Option<LinkFilter>);

impl<'a> Taker<'a> {
    pub(super) fn new(
        ids: &'a Ids,
        policy: Policy,
        place: &'a Place,
        heartbeat: &'a mut dyn FnMut(),
    ) -> Self {
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

    pub(super) fn parts(self) -> Parts {
        (self.taken, self.deferred, self.filter)
    }

    pub(super) fn add(&mut self, (taken, deferred, filter): Parts) {
        self.taken.add(taken);
        self.deferred.append(deferred);
        if let (Some(filter), Some(other)) = (&mut self.filter, filter) {
            filter.add(other);
        }
    }

    /// Takes a subdirectory of the current directory, and everything below it.
    pub(super) fn subtree(&mut self, walk: &mut Walk, name: Name<'_>) -> Result<()> {
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
        // However deep it is: a job that goes on while the tree is taken can't keep it.
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
    /// It gets its final mode at once: a crash loses none. It is never the batch user's with the
    /// sticky bit that the job has set: that marks a directory that is being given.
    pub(super) fn close(&mut self, dir: &Dir, path: &OsStr) -> Result<Time> {
        let stat = dir.stat_self().at("examine", path)?;
        if Owner::of(&stat) != self.ids.batch {
            if !self.exact && stat.mode() & 0o7000 != 0 {
                dir.set_mode(stat.mode() & 0o777).at("set the mode of", path)?;
            }
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
    pub(super) fn entries(&mut self, walk: &Walk, modified: Time, part: Part) -> Result<Names> {
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
            Kind::Symlink => self.symlink(walk, here, name, &stat)?,
            Kind::File if stat.nlink() > 1 => self.defer(walk, name, &stat)?,
            Kind::File => match self.change(walk, name, &stat, 1)? {
                Change::Changed => self.taken.totals.files += 1,
                Change::Copy(file, stat, reason) => {
                    self.replace(walk, name, (&file, &stat), reason)?;
                    self.taken.totals.files += 1;
                }
                Change::Linked | Change::Leased => self.defer(walk, name, &stat)?,
            },
        }
        Ok(false)
    }

    /// Leaves a name of a file to the second pass. If too many are, the file is copied now, for
    /// this name alone.
    fn defer(&mut self, walk: &Walk, name: Name<'_>, stat: &Stat) -> Result<()> {
        if self.deferred.add(stat.identity().1) {
            return Ok(());
        }
        let here = walk.current()?;
        self.taken.totals.files += 1;
        match file::open(walk, here, name)? {
            Some((file, stat)) => self.replace(walk, name, (&file, &stat), Reason::OuterNames),
            None => Err(Error::refused(walk.path_of(name), file::LEASED)),
        }
    }

    /// Takes a symbolic link, or removes it if it leaves the tree.
    fn symlink(&mut self, walk: &Walk, here: &Dir, name: Name<'_>, stat: &Stat) -> Result<()> {
        let path = || walk.path_of(name);
        if let Some(filter) = &mut self.filter {
            let target = here.read_link(name).at_entry("read the link", path)?;
            if !filter.allows(walk, name, &target)? {
                self.changed = true;
                return here.remove_file(name).at_entry("remove the link", path);
            }
        }
        let mut names = stat.nlink();
        if names == 1 {
            owner::set_at(here, name, self.ids.batch).at_entry("change the owner of", path)?;
            names = here.stat(name).at_entry("examine", path)?.nlink();
            if names == 1 {
                self.taken.totals.symlinks += 1;
                return Ok(());
            }
            // The job has made a link to it meanwhile.
            let was = Owner::of(stat);
            owner::set_at(here, name, was).at_entry("change the owner of", path)?;
        }
        if self.deferred.add(stat.identity().1) {
            return Ok(());
        }
        let target = here.read_link(name).at_entry("read the link", path)?;
        let copy = self.replacer.symlink(&target, stat.modified())?;
        let put = copy.and_then(|number| self.replacer.put(number, here, name));
        self.changed = true;
        self.taken.totals.symlinks += 1;
        self.taken.copied.outer_names += 1;
        put.at_entry("replace", path)
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
    pub(super) fn finish(mut self, top: &Dir, path: &OsStr) -> Result<Taken> {
        if let Some(filter) = self.filter.take() {
            let (links, removed) = filter.finish(top, path)?;
            (self.taken.dropped.links, self.taken.removed_links) = (links, removed);
        }
        Ok(self.taken)
    }
}
