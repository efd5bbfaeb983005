//! The second pass: files with several names, and those of which a process held a lease.
//!
//! After the first pass every directory of the tree is closed to others. So the names of a file
//! that were counted are all the names that it has in the tree.

use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name, Stat, file_lease, owner};

use super::deferred::{State, Table};
use super::file::{self, Change, Reason};
use super::taker::Taker;
use crate::names::Names;
use crate::refuse_mount_point;
use crate::walk::Walk;

/// How much longer than the kernel allows a lease is waited for.
const MARGIN: Duration = Duration::from_secs(5);

/// How often a file with a lease is tried.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Takes the files in the table.
pub(super) fn run(taker: &mut Taker<'_>, walk: &mut Walk, table: Table) -> Result<()> {
    // The first pass has asked every holder of a lease to give it up.
    let until = Instant::now() + file_lease::break_time() + MARGIN;
    let mut pass = Pass { taker, table, until };
    let mut pending = vec![pass.directory(walk)?];
    while let Some(subdirectories) = pending.last_mut() {
        let Some(name) = subdirectories.last() else {
            pending.pop();
            walk.leave()?;
            continue;
        };
        let opened = walk.current()?.open_dir(name);
        let dir = refuse_mount_point(opened, || walk.path_of(name))?;
        walk.enter(name, dir)?;
        subdirectories.pop();
        pending.push(pass.directory(walk)?);
    }
    Ok(())
}

struct Pass<'a, 'b> {
    taker: &'a mut Taker<'b>,
    table: Table,
    until: Instant,
}

impl Pass<'_, '_> {
    /// Takes the files of the current directory that are in the table. Returns its subdirectories.
    fn directory(&mut self, walk: &Walk) -> Result<Names> {
        let here = walk.current()?;
        let modified = here.stat_self().at("examine", walk.path())?.modified();
        let mut subdirectories = Names::default();
        self.taker.changed = false;
        let listed = here.for_each_entry(|name, _| {
            (self.taker.heartbeat)();
            let stat = match here.stat(name) {
                Err(Errno::ENOENT) => return Ok(()),
                stat => refuse_mount_point(stat, || walk.path_of(name))?,
            };
            if !self.taker.ids.include(&stat) {
                return Ok(());
            }
            match stat.kind() {
                Kind::Directory => subdirectories.push(name),
                Kind::File | Kind::Symlink => self.entry(walk, here, name, &stat)?,
                Kind::Special => {}
            }
            Ok(())
        });
        listed.at("read the directory", walk.path())??;
        if self.taker.changed {
            here.set_modified(modified).at("set the time of", walk.path())?;
        }
        Ok(subdirectories)
    }

    /// Takes a name of a file, if that is in the table.
    fn entry(&mut self, walk: &Walk, here: &Dir, name: Name<'_>, stat: &Stat) -> Result<()> {
        let Some(file) = self.table.file(stat.identity().1) else { return Ok(()) };
        let (names, state) = (u64::from(file.names), file.state);
        let state = match state {
            State::Changed => {
                self.taker.taken.totals.links += 1;
                return Ok(());
            }
            State::Copied(number) => {
                self.taker.taken.totals.links += 1;
                return self.put(walk, here, name, number);
            }
            State::Pending if stat.kind() == Kind::Symlink => {
                self.taker.taken.totals.symlinks += 1;
                self.symlink(walk, here, name, stat, names)?
            }
            State::Pending => {
                self.taker.taken.totals.files += 1;
                self.file(walk, here, name, stat, names)?
            }
        };
        if let Some(file) = self.table.file(stat.identity().1) {
            file.state = state;
        }
        Ok(())
    }

    /// Takes the first name of a regular file that is met.
    fn file(
        &mut self,
        walk: &Walk,
        here: &Dir,
        name: Name<'_>,
        stat: &Stat,
        names: u64,
    ) -> Result<State> {
        let change = if stat.nlink() == names {
            self.when_released(walk, name, |taker| {
                taker.change(walk, name, stat, names).map(|change| match change {
                    Change::Leased => None,
                    change => Some(change),
                })
            })?
        } else {
            Change::Linked
        };
        let (file, stat, reason) = match change {
            Change::Changed => return Ok(State::Changed),
            Change::Copy(file, stat, reason) => (file, stat, reason),
            Change::Linked | Change::Leased => {
                let (file, stat) =
                    self.when_released(walk, name, |_| file::open(walk, here, name))?;
                (file, stat, Reason::OuterNames)
            }
        };
        let number = self.taker.copy(walk, name, (&file, &stat), reason)?;
        self.put(walk, here, name, number)?;
        Ok(State::Copied(number))
    }

    /// Takes the first name of a symbolic link that is met.
    fn symlink(
        &mut self,
        walk: &Walk,
        here: &Dir,
        name: Name<'_>,
        stat: &Stat,
        names: u64,
    ) -> Result<State> {
        let path = || walk.path_of(name);
        if stat.nlink() == names {
            let changed = owner::set_at(here, name, self.taker.ids.batch);
            return changed.at_entry("change the owner of", path).map(|()| State::Changed);
        }
        let target = here.read_link(name).at_entry("read the link", path)?;
        let copy = self.taker.replacer.symlink(&target, stat.modified())?;
        let number = copy.at_entry("copy the link", path)?;
        self.taker.taken.copied.outer_names += 1;
        self.put(walk, here, name, number)?;
        Ok(State::Copied(number))
    }

    /// Puts a copy in the place of one name of a file.
    fn put(&mut self, walk: &Walk, here: &Dir, name: Name<'_>, number: u32) -> Result<()> {
        self.taker.changed = true;
        let put = self.taker.replacer.put_link(number, here, name);
        put.at_entry("replace", || walk.path_of(name))
    }

    /// Repeats an attempt until no process holds a lease of the file.
    fn when_released<T>(
        &mut self,
        walk: &Walk,
        name: Name<'_>,
        mut attempt: impl FnMut(&mut Taker<'_>) -> Result<Option<T>>,
    ) -> Result<T> {
        loop {
            if let Some(done) = attempt(self.taker)? {
                return Ok(done);
            }
            if Instant::now() > self.until {
                return Err(Error::refused(walk.path_of(name), file::LEASED));
            }
            (self.taker.heartbeat)();
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}
