//! Taking one regular file back.

use std::fs::File;

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name, Owner, Stat, file, file_lease, owner};

use super::taker::Taker;
use crate::refuse_mount_point;
use crate::walk::Walk;

/// What became of a file.
pub(super) enum Change {
    /// It belongs to the batch user, and no process can write to it.
    Changed,
    /// It has to be copied.
    Copy(File, Stat, Reason),
    /// It has another number of names than expected. It belongs to the job user.
    Linked,
    /// A process holds a lease of it, and can't keep it for long.
    Leased,
}

/// Why a file can't be opened that a process holds a lease of.
pub(super) const LEASED: &str = "a process holds a lease of it (fcntl(2), F_SETLEASE) and does not \
                                 give it up: end that process";

/// Why a file is copied.
#[derive(Clone, Copy)]
pub(super) enum Reason {
    Written,
    Unproved,
    OuterNames,
    Writable,
    Attributes,
}

impl Taker<'_> {
    /// Changes the owner of a file with this number of names, all of them in the tree. The current
    /// directory is the batch user's: no process of the job can exchange the entry.
    ///
    /// The order matters. Once the file is the batch user's, and neither its mode nor an access
    /// control list lets another user write, no process of the job can open it for writing. Then
    /// the lease proves that none has it open.
    pub(super) fn change(
        &mut self,
        walk: &Walk,
        name: Name<'_>,
        stat: &Stat,
        names: u64,
    ) -> Result<Change> {
        let (here, path) = (walk.current()?, || walk.path_of(name));
        if stat.mode() & 0o022 != 0 {
            // A process that has it open without any access (O_PATH) could open it again.
            return Ok(match open(walk, here, name)? {
                Some((file, stat)) => Change::Copy(file, stat, Reason::Writable),
                None => Change::Leased,
            });
        }
        let was = Owner::of(stat);
        if was != self.ids.batch {
            owner::set_at(here, name, self.ids.batch).at_entry("change the owner of", path)?;
        }
        let Some((file, now)) = open(walk, here, name)? else {
            if was != self.ids.batch {
                owner::set_at(here, name, was).at_entry("change the owner of", path)?;
            }
            return Ok(Change::Leased);
        };
        if now.identity() != stat.identity() || now.kind() != Kind::File {
            return Err(Error::refused(path(), "another process replaced it meanwhile"));
        }
        let refused = if now.nlink() == names {
            self.settle(&file, stat, &now).at_entry("set the attributes of", path)?
        } else {
            None
        };
        if now.nlink() == names && refused.is_none() {
            return Ok(Change::Changed);
        }
        // Other names of this inode, and processes that have it open, stay the job user's.
        if was != self.ids.batch {
            owner::set(&file, was).at_entry("change the owner of", path)?;
        }
        let Some(reason) = refused else { return Ok(Change::Linked) };
        let now = file::stat(&file).at_entry("examine", path)?;
        Ok(Change::Copy(file, now, reason))
    }

    /// Gives a file the attributes and the mode that a copy would have, and proves that no process
    /// can write to it. Returns the reason if it has to be copied.
    fn settle(&mut self, file: &File, stat: &Stat, now: &Stat) -> sys::Result<Option<Reason>> {
        if !self.exact {
            let found = self.buffers.list(file)?;
            self.taken.dropped.attributes += found.dropped;
            self.count_bits(stat.mode());
            let mode = found.mode(stat.mode()) | self.owner_bits(Kind::File);
            // Before the access control list goes, which the mode follows from: this can be
            // repeated.
            if mode != now.mode() {
                file::set_mode(file, mode)?;
            }
            if found.dropped > 0 && !self.buffers.remove_dropped(file)? {
                return Ok(Some(Reason::Attributes));
            }
        }
        Ok(match file_lease::prove_no_writer(file) {
            Ok(()) => None,
            Err(Errno::EAGAIN) => Some(Reason::Written),
            Err(_) => Some(Reason::Unproved),
        })
    }

    /// Puts a copy in the place of a file with one name.
    pub(super) fn replace(
        &mut self,
        walk: &Walk,
        name: Name<'_>,
        (file, stat): (&File, &Stat),
        reason: Reason,
    ) -> Result<()> {
        let number = self.copy(walk, name, (file, stat), reason)?;
        let here = walk.current()?;
        let put = self.replacer.put(number, here, name);
        put.at_entry("replace", || walk.path_of(name))?;
        self.changed = true;
        Ok(())
    }

    /// Makes a copy of a file, for some or all of its names. Returns its number.
    pub(super) fn copy(
        &mut self,
        walk: &Walk,
        name: Name<'_>,
        (file, stat): (&File, &Stat),
        reason: Reason,
    ) -> Result<u32> {
        let owner_bits = self.owner_bits(Kind::File);
        let (buffers, mut dropped) = (&mut self.buffers, 0);
        let attributes = |to: &File| {
            let found = buffers.copy(file, to)?;
            dropped = found.dropped;
            Ok(found.mode(stat.mode()) | owner_bits)
        };
        let copy = self.replacer.copy(file, stat, attributes, &mut *self.heartbeat);
        let number = copy?.at_entry("copy", || walk.path_of(name))?;
        if matches!(reason, Reason::OuterNames | Reason::Writable) {
            // Of other files this is counted already.
            self.taken.dropped.attributes += dropped;
            self.count_bits(stat.mode());
        }
        let copied = &mut self.taken.copied;
        match reason {
            Reason::Written => copied.written += 1,
            Reason::Unproved => copied.unproved += 1,
            Reason::OuterNames => copied.outer_names += 1,
            Reason::Writable => copied.writable += 1,
            Reason::Attributes => copied.attributes += 1,
        }
        self.taken.totals.bytes += stat.size();
        Ok(number)
    }
}

/// Opens a regular file to read it. None if a process holds a write lease of it: it has been told
/// to give that up.
pub(super) fn open(walk: &Walk, here: &Dir, name: Name<'_>) -> Result<Option<(File, Stat)>> {
    let file = match here.open_file(name) {
        Err(Errno::EAGAIN) => return Ok(None),
        file => refuse_mount_point(file, || walk.path_of(name))?,
    };
    let stat = file::stat(&file).at_entry("examine", || walk.path_of(name))?;
    Ok(Some((file, stat)))
}
