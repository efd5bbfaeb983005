//! Building a tree from records.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;

use error::{ConnectionError, Context as _, Error, Result};
use sys::{Dir, Name, OwnedName, Passed, xattr};
use wire::{Attributes, Channel, Dropped, Frame, Links, Totals};

use self::hard_links::HardLinks;
use super::content::Copier;
use super::link_filter::LinkFilter;
use super::links::{self, Verdict};
use super::walk::Walk;
use super::{Place, Progress};

pub(crate) mod finish;
mod hard_links;

/// Builds a tree from the records of a sender that is not trusted. Whatever it sends, everything is
/// created below the top, exclusively, in the name of the builder's user, and without set-user-ID,
/// set-group-ID and sticky bits.
pub struct Builder<'a> {
    walk: Walk,
    /// The device of the place: files of other devices are not read from a descriptor.
    device: u64,
    filter: Option<LinkFilter>,
    copier: Copier,
    file: Option<Incomplete>,
    /// The file's name. It stays when the file is complete, so that the next one needs no
    /// allocation.
    name: OwnedName,
    /// How many bytes the names of the attributes of the current file or directory have.
    attributes: usize,
    totals: Totals,
    /// Mode bits of the owner that every file and directory of the tree gets.
    owner_bits: OwnerBits,
    /// Whether group or others may write to a directory of the tree.
    writable_by_others: bool,
    hard_links: HardLinks<'a>,
}

/// Mode bits of the owner, of files and of directories.
#[derive(Clone, Copy, Default)]
struct OwnerBits {
    file: u32,
    directory: u32,
}

/// A file whose content is arriving.
struct Incomplete {
    file: File,
    /// Up to where it is written: content arrives from the beginning to the end.
    written: u64,
}

/// A tree that has arrived.
#[derive(Debug)]
pub struct Built {
    /// The attributes of its top, which it does not have yet.
    pub attributes: Attributes,
    /// What was transferred.
    pub totals: Totals,
    /// What was left behind: links as counted here, everything else as the sender tells it.
    pub dropped: Dropped,
    /// The paths of some of the links that were left behind.
    pub left: Vec<String>,
}

impl<'a> Builder<'a> {
    /// Builds in the new and empty directory `top`, named `name` at its place. Unless `links` is
    /// `Keep`, the tree has no link that leaves it.
    pub fn new(top: Dir, place: &'a Place, name: Name<'_>, links: Links) -> Result<Self> {
        let path = place.path_of(name);
        // Every file of the tree would inherit the parent's default access control list.
        xattr::remove_user_and_acl(&top).at("remove the attributes of", &path)?;
        Ok(Builder {
            walk: Walk::new(top, path),
            device: place.device()?,
            filter: (links != Links::Keep).then(LinkFilter::default),
            copier: Copier::default(),
            file: None,
            name: name.into(),
            attributes: 0,
            totals: Totals::default(),
            owner_bits: OwnerBits::default(),
            writable_by_others: false,
            hard_links: HardLinks::new(place),
        })
    }

    /// Takes passed files from another device than the place's.
    #[must_use]
    pub fn from_device(self, device: u64) -> Self {
        Builder { device, ..self }
    }

    /// Gives the owner read and write permission for every file, and all permissions for every
    /// directory: the user that collects the files needs them.
    #[must_use]
    pub fn accessible_to_owner(self) -> Self {
        Builder { owner_bits: OwnerBits { file: 0o600, directory: 0o700 }, ..self }
    }

    /// Builds what arrives on the channel, which accepts descriptors already, until the tree is
    /// complete except for the attributes of its top.
    pub fn receive(&mut self, channel: &mut Channel, progress: Progress<'_>) -> Result<Built> {
        loop {
            match channel.receive().map_err(broken)? {
                Frame::Content { size } => {
                    let passed = channel.passed().map_err(broken)?;
                    self.content(passed, size, channel, progress)?;
                    channel.send(Frame::Taken).map_err(broken)?;
                }
                Frame::End { attributes, totals, dropped } => {
                    return self.end(attributes, totals, dropped);
                }
                record => self.record(record)?,
            }
            progress(&self.totals);
        }
    }

    /// Carries out one record.
    fn record(&mut self, frame: Frame<'_>) -> Result<()> {
        if self.file.is_some()
            && !matches!(frame, Frame::Data { .. } | Frame::Attribute { .. } | Frame::Close { .. })
        {
            return Err(out_of_turn());
        }
        match frame {
            Frame::Directory { name } => self.directory(name),
            Frame::Up { attributes } => self.up(attributes),
            Frame::File { name, number } => self.open_file(name, number),
            Frame::Data { offset, bytes } => self.data(offset, bytes),
            Frame::Attribute { name, value } => self.attribute(name, value),
            Frame::Close { size, attributes } => self.close_file(size, attributes),
            Frame::Symlink { name, number, modified, target } => {
                self.totals.symlinks += 1;
                let allowed = match &mut self.filter {
                    Some(filter) => filter.allows(&self.walk, name, target)?,
                    None => true,
                };
                if allowed {
                    let here = self.walk.current()?;
                    let made = here
                        .create_symlink(name, target)
                        .and_then(|()| here.set_modified_at(name, modified));
                    made.at_entry("create the link", || self.walk.path_of(name))?;
                    self.add_hard_link(name, number)
                } else if number == 0 {
                    Ok(())
                } else {
                    Err(out_of_turn())
                }
            }
            Frame::Link { name, number } => {
                self.totals.links += 1;
                self.link(name, number)
            }
            Frame::DroppedLink { name } => {
                let filter = self.filter.as_mut().ok_or_else(out_of_turn)?;
                filter.count_left(|| self.walk.path_of(name))
            }
            Frame::Failed { text } => {
                Err(Error::Told { who: "the sending side", text: text.to_vec() })
            }
            _ => Err(out_of_turn()),
        }
    }

    fn directory(&mut self, name: Name<'_>) -> Result<()> {
        self.walk.check_depth()?;
        let made = self
            .walk
            .current()?
            .create_dir(name)
            .at_entry("create the directory", || self.walk.path_of(name))?;
        self.walk.enter(name, made)?;
        self.attributes = 0;
        self.totals.directories += 1;
        Ok(())
    }

    /// Completes the current directory, and goes back to the one above.
    fn up(&mut self, attributes: Attributes) -> Result<()> {
        if self.walk.depth() == 0 {
            return Err(out_of_turn());
        }
        let path = self.walk.path().to_os_string();
        self.writable_by_others |= attributes.mode & 0o022 != 0;
        // It is left before it is complete: its mode may forbid to go up through it.
        if let Some(complete) = self.walk.leave()? {
            finish::directory(&complete, &path, attributes, self.owner_bits.directory)?;
        }
        Ok(())
    }

    fn open_file(&mut self, name: Name<'_>, number: u32) -> Result<()> {
        let file = self
            .walk
            .current()?
            .create_file(name)
            .at_entry("create", || self.walk.path_of(name))?;
        self.attributes = 0;
        self.file = Some(Incomplete { file, written: 0 });
        self.name.set(name);
        self.totals.files += 1;
        self.add_hard_link(name, number)
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let incomplete = self.file.as_mut().ok_or_else(out_of_turn)?;
        // Each piece begins after the one before and is not empty, so that a sender that does not
        // end fills the disk.
        if offset < incomplete.written || bytes.is_empty() {
            return Err(out_of_turn());
        }
        incomplete.written = offset.checked_add(bytes.len() as u64).ok_or_else(out_of_turn)?;
        incomplete
            .file
            .write_all_at(bytes, offset)
            .at_entry("write", || self.walk.path_of(self.name.name()))?;
        self.totals.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Sets an attribute of the file that is arriving, or of the current directory.
    fn attribute(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        // No file has more than the kernel can list (xattr(7)).
        self.attributes += name.len() + 1;
        if self.attributes > xattr::SIZE_MAX {
            return Err(out_of_turn());
        }
        match &self.file {
            Some(incomplete) => xattr::set(&incomplete.file, name, value)
                .at_entry("set an attribute of", || self.walk.path_of(self.name.name())),
            None => xattr::set(self.walk.current()?, name, value)
                .at("set an attribute of", self.walk.path()),
        }?;
        self.totals.attributes += 1;
        Ok(())
    }

    fn close_file(&mut self, size: u64, mut attributes: Attributes) -> Result<()> {
        let Incomplete { file, written } = self.file.take().ok_or_else(out_of_turn)?;
        attributes.mode |= self.owner_bits.file;
        finish::file(file, written, size, attributes)
            .at_entry("complete", || self.walk.path_of(self.name.name()))
    }

    /// Fills the file that is arriving from a descriptor.
    fn content(
        &mut self,
        passed: Passed,
        size: u64,
        channel: &mut Channel,
        progress: Progress<'_>,
    ) -> Result<()> {
        let incomplete = self
            .file
            .as_mut()
            .filter(|incomplete| incomplete.written == 0 && size > 0)
            .ok_or_else(out_of_turn)?;
        let from = passed
            .regular_on(self.device)
            .map_err(|_| protocol("a descriptor that is no file of the sandbox's"))?;
        let before = self.totals;
        let copied = self.copier.copy(&from, &incomplete.file, size, |more| {
            self.totals.passed = self.totals.passed.saturating_add(more);
            progress(&self.totals);
            channel.keep_alive().map_err(|_| ErrorKind::BrokenPipe.into())
        });
        copied.at_entry("copy", || self.walk.path_of(self.name.name()))?;
        incomplete.written = size;
        self.totals.passed = before.passed.checked_add(size).ok_or_else(out_of_turn)?;
        Ok(())
    }

    /// Makes one more name of a file that has arrived.
    fn link(&mut self, name: Name<'_>, number: u32) -> Result<()> {
        // Where a symbolic link leads depends on its directory, which may be another one here.
        if let Some(target) = self.hard_links.target(number).filter(|_| self.filter.is_some()) {
            if links::judge(&target, self.walk.depth()) != Verdict::Stays {
                return Err(out_of_turn());
            }
        }
        let linked = self.hard_links.link(number, self.walk.current()?, name);
        linked.at_entry("create the hard link", || self.walk.path_of(name))
    }

    /// Both sides must have counted the same. Then the links that leave the tree are removed.
    fn end(&mut self, attributes: Attributes, totals: Totals, dropped: Dropped) -> Result<Built> {
        if self.walk.depth() > 0 || totals != self.totals {
            return Err(protocol("its totals are not what arrived"));
        }
        self.writable_by_others |= attributes.mode & 0o022 != 0;
        self.hard_links.remove()?;
        let (links, left) = match self.filter.take() {
            Some(filter) => filter.finish(self.walk.current()?, self.walk.path())?,
            None => (0, Vec::new()),
        };
        Ok(Built { attributes, totals, dropped: Dropped { links, ..dropped }, left })
    }

    /// The top directory, for entries that no record makes.
    pub(crate) fn top(&self) -> Result<&Dir> {
        self.walk.current()
    }

    /// Gives the top of the complete tree its attributes, with all permissions for its owner.
    pub fn finish(self, attributes: Attributes) -> Result<()> {
        finish::directory(self.walk.current()?, self.walk.path(), attributes, 0o700)
    }

    /// As [`Builder::finish`]; but if group or others may write to any directory of the tree, its
    /// top is closed to them. Otherwise processes that the job has left could change directories
    /// that belong to their new owner.
    pub fn finish_closed(self, mut attributes: Attributes) -> Result<()> {
        if self.writable_by_others {
            attributes.mode &= 0o700;
        }
        self.finish(attributes)
    }

    /// Remembers a file that may have further names by its number. 0 is a file that has none.
    fn add_hard_link(&mut self, name: Name<'_>, number: u32) -> Result<()> {
        if number == 0 {
            return Ok(());
        }
        let added = self.hard_links.add(self.walk.current()?, name, number)?;
        added.at_entry("create a hard link to", || self.walk.path_of(name))
    }
}

fn out_of_turn() -> Error {
    protocol("a record out of turn")
}

fn protocol(what: &'static str) -> Error {
    broken(ConnectionError::Protocol(what))
}

fn broken(cause: ConnectionError) -> Error {
    Error::connection("the sending side", cause)
}
