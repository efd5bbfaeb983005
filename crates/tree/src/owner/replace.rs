//! Putting a copy in the place of a file, as a new inode.

use std::fs::File;

use sys::{Dir, Name, Owner, Rename, Result, Stat, Time, file_lease, owner};
use wire::Attributes;

use crate::Place;
use crate::build::finish;
use crate::content::Copier;
use crate::temporary_dir::{Digits, TemporaryDir};

/// Makes copies in a directory with a temporary name beside the tree, each with a number as its
/// name. No other user can reach them there.
pub(super) struct Replacer<'a> {
    temporary: TemporaryDir<'a>,
    copier: Copier,
    last_number: u32,
    /// The owner of the copies.
    owner: Owner,
}

impl<'a> Replacer<'a> {
    /// For a tree at `place`.
    pub(super) fn new(place: &'a Place, owner: Owner) -> Self {
        Replacer {
            temporary: TemporaryDir::new(place),
            copier: Copier::default(),
            last_number: 0,
            owner,
        }
    }

    /// Tries whether the file system grants leases, with a file that no other process has open.
    pub(super) fn check_leases(&mut self) -> error::Result<Result<()>> {
        let dir = self.temporary.make()?;
        self.last_number += 1;
        let digits = Digits::of(self.last_number);
        Ok(digits.name().and_then(|name| {
            drop(dir.create_file(name)?);
            owner::set_at(dir, name, self.owner)?;
            let proved = dir.open_file(name).and_then(|file| file_lease::prove_no_writer(&file));
            dir.remove_file(name)?;
            proved
        }))
    }

    /// Makes a copy of an open file, with its content and time. `attributes` sets the attributes of
    /// the copy and returns its mode. Returns the copy's number.
    pub(super) fn copy(
        &mut self,
        file: &File,
        stat: &Stat,
        attributes: impl FnOnce(&File) -> Result<u32>,
        heartbeat: &mut dyn FnMut(),
    ) -> error::Result<Result<u32>> {
        let dir = self.temporary.make()?;
        self.last_number += 1;
        let digits = Digits::of(self.last_number);
        let made = digits.name().and_then(|name| {
            let to = dir.create_file(name)?;
            owner::set(&to, self.owner)?;
            let mode = attributes(&to)?;
            let copied = self.copier.copy(file, &to, stat.size(), |_| {
                heartbeat();
                Ok(())
            });
            copied.map_err(|error| sys::errno(&error))?;
            let attributes = Attributes { mode, modified: stat.modified() };
            finish::file(to, stat.size(), stat.size(), attributes)
        });
        if made.is_err() {
            self.discard(self.last_number);
        }
        Ok(made.map(|()| self.last_number))
    }

    /// Makes a symbolic link. Returns its number.
    pub(super) fn symlink(&mut self, target: &[u8], modified: Time) -> error::Result<Result<u32>> {
        let dir = self.temporary.make()?;
        self.last_number += 1;
        let made = Digits::of(self.last_number).name().and_then(|name| {
            dir.create_symlink(name, target)?;
            owner::set_at(dir, name, self.owner)?;
            dir.set_modified_at(name, modified)
        });
        Ok(made.map(|()| self.last_number))
    }

    /// Gives a copy the name of the file that it replaces. The copy has no number any more.
    pub(super) fn put(&self, number: u32, here: &Dir, name: Name<'_>) -> Result<()> {
        let dir = self.temporary.made().ok_or(sys::Errno::ENOENT)?;
        dir.rename_into(Digits::of(number).name()?, here, name, Rename::Replace)
    }

    /// Gives a copy one more name, that of a file that it replaces. The copy keeps its number.
    pub(super) fn put_link(&mut self, number: u32, here: &Dir, name: Name<'_>) -> Result<()> {
        let dir = self.temporary.made().ok_or(sys::Errno::ENOENT)?;
        self.last_number += 1;
        let second = Digits::of(self.last_number);
        dir.link(Digits::of(number).name()?, dir, second.name()?)?;
        dir.rename_into(second.name()?, here, name, Rename::Replace)
    }

    /// Removes a copy that is not complete.
    fn discard(&self, number: u32) {
        if let Some(dir) = self.temporary.made() {
            let _ = Digits::of(number).name().and_then(|name| dir.remove_file(name));
        }
    }
}
