//! Building a tree from records.

use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use error::{ConnectionError, Context as _, Error, Result};
use sys::{self, Dir, Errno, Name, OwnedName, Passed, file, xattr};
use wire::{Attributes, Channel, Dropped, Frame, Links, Totals};

use super::Progress;
use super::beside::Place;
use super::content::Copier;
use super::descent::Descent;
use super::guard::LinkGuard;
use super::links::{self, Verdict};
use super::numbered::Numbered;

/// Builds a tree from the records of a sender that is not trusted: whatever it sends, everything is
/// created below the top, exclusively, as the builder's own, and without any privilege bit.
pub struct Builder<'a> {
    walk: Descent,
    /// The device of the place: descriptors of other devices are not read.
    device: u64,
    guard: Option<LinkGuard>,
    copier: Copier,
    file: Option<Begun>,
    /// Its name; kept when it is complete, so that its room serves for the next.
    name: OwnedName,
    /// Bytes of the names of the attributes that the file or directory has by now.
    attributes: usize,
    totals: Totals,
    /// What the owner may do with every file and directory of the tree, whatever its mode says.
    owner_bits: OwnerBits,
    /// Whether others than the owner may write to a directory of the tree.
    open_to_others: bool,
    numbered: Numbered<'a>,
}

/// Mode bits of the owner, of files and of directories.
#[derive(Clone, Copy, Default)]
struct OwnerBits {
    file: u32,
    directory: u32,
}

/// A file whose content is arriving.
struct Begun {
    file: File,
    /// Up to where it is written: content arrives from the beginning to the end.
    written: u64,
}

/// What became of a tree that has arrived.
#[derive(Debug)]
pub struct Built {
    /// The attributes of its top, which it does not have yet.
    pub attributes: Attributes,
    /// What was moved.
    pub totals: Totals,
    /// What was left behind: links by our own count, everything else by its sender's word.
    pub dropped: Dropped,
    /// The paths of some of the links that were left behind.
    pub left: Vec<String>,
}

impl<'a> Builder<'a> {
    /// Builds in the new and empty directory `top`, named `name` at its place. With `links` other
    /// than `Keep`, none may lead out of the tree.
    pub fn new(top: Dir, place: &'a Place, name: Name<'_>, links: Links) -> Result<Self> {
        let path = place.path_of(name);
        // A default access control list of the parent would be handed down to every file of the
        // tree.
        xattr::remove_user_and_acl(&top).at("remove the attributes of", &path)?;
        Ok(Builder {
            walk: Descent::new(top, path),
            device: place.device()?,
            guard: (links != Links::Keep).then(LinkGuard::default),
            copier: Copier::default(),
            file: None,
            name: name.into(),
            attributes: 0,
            totals: Totals::default(),
            owner_bits: OwnerBits::default(),
            open_to_others: false,
            numbered: Numbered::new(place),
        })
    }

    /// The same, for files that are passed from another device.
    #[must_use]
    pub fn from_device(self, device: u64) -> Self {
        Builder { device, ..self }
    }

    /// The same, with read and write permission for the owner on every file, and all on every
    /// directory: whoever collects the files must be able to.
    #[must_use]
    pub fn accessible_to_owner(self) -> Self {
        Builder { owner_bits: OwnerBits { file: 0o600, directory: 0o700 }, ..self }
    }

    /// Builds what arrives on the channel, which must accept descriptors by now, until the tree is
    /// complete but for its top's own attributes.
    pub fn receive(&mut self, channel: &mut Channel, progress: Progress<'_>) -> Result<Built> {
        loop {
            match channel.receive().map_err(lost)? {
                Frame::Content { size } => {
                    let passed = channel.passed().map_err(lost)?;
                    self.content(passed, size, channel, progress)?;
                    channel.send(Frame::Taken).map_err(lost)?;
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
            Frame::Directory { name } => {
                self.walk.check_depth()?;
                let made = self
                    .walk
                    .here()?
                    .create_dir(name)
                    .at_entry("create the directory", || self.walk.path_of(name))?;
                self.walk.enter(name, made)?;
                self.attributes = 0;
                self.totals.directories += 1;
            }
            Frame::Up { attributes } => {
                if self.walk.depth() == 0 {
                    return Err(out_of_turn());
                }
                let path = self.walk.path().to_os_string();
                // Left first: the way back up may lead through this directory, whose mode may
                // forbid that later.
                self.open_to_others |= attributes.mode & 0o022 != 0;
                if let Some(complete) = self.walk.leave()? {
                    finish(&complete, &path, attributes, self.owner_bits.directory)?;
                }
            }
            Frame::File { name, number } => {
                let file = self
                    .walk
                    .here()?
                    .create_file(name)
                    .at_entry("create", || self.walk.path_of(name))?;
                self.attributes = 0;
                self.file = Some(Begun { file, written: 0 });
                self.name.set(name);
                self.totals.files += 1;
                self.keep(name, number)?;
            }
            Frame::Data { offset, bytes } => {
                let begun = self.file.as_mut().ok_or_else(out_of_turn)?;
                // Only forwards, and never nothing: a sender without an end meets the end of the
                // disk.
                if offset < begun.written || bytes.is_empty() {
                    return Err(out_of_turn());
                }
                begun.written = offset.checked_add(bytes.len() as u64).ok_or_else(out_of_turn)?;
                begun
                    .file
                    .write_all_at(bytes, offset)
                    .at_entry("write", || self.walk.path_of(self.name.name()))?;
                self.totals.bytes += bytes.len() as u64;
            }
            Frame::Attribute { name, value } => {
                // No file has more than the kernel can list (xattr(7)).
                self.attributes += name.len() + 1;
                if self.attributes > xattr::SIZE_MAX {
                    return Err(out_of_turn());
                }
                match &self.file {
                    Some(begun) => xattr::set(&begun.file, name, value)
                        .at_entry("set an attribute of", || self.walk.path_of(self.name.name())),
                    None => xattr::set(self.walk.here()?, name, value)
                        .at("set an attribute of", self.walk.path()),
                }?;
                self.totals.attributes += 1;
            }
            Frame::Close { size, mut attributes } => {
                let begun = self.file.take().ok_or_else(out_of_turn)?;
                attributes.mode |= self.owner_bits.file;
                let Begun { file, written } = begun;
                close(file, written, size, attributes)
                    .at_entry("complete", || self.walk.path_of(self.name.name()))?;
            }
            Frame::Symlink { name, number, modified, target } => {
                self.totals.symlinks += 1;
                let admitted = match &mut self.guard {
                    Some(guard) => guard.admits(&self.walk, name, target)?,
                    None => true,
                };
                if admitted {
                    let here = self.walk.here()?;
                    let made = here
                        .create_symlink(name, target)
                        .and_then(|()| here.set_modified_at(name, modified));
                    made.at_entry("create the link", || self.walk.path_of(name))?;
                    self.keep(name, number)?;
                } else if number != 0 {
                    return Err(out_of_turn());
                }
            }
            Frame::Link { name, number } => {
                self.totals.links += 1;
                self.link(name, number)?;
            }
            Frame::DroppedLink { name } => {
                let guard = self.guard.as_mut().ok_or_else(out_of_turn)?;
                guard.left(|| self.walk.path_of(name))?;
            }
            Frame::Failed { text } => {
                return Err(Error::Told { who: "the sending side", text: text.to_vec() });
            }
            _ => return Err(out_of_turn()),
        }
        Ok(())
    }

    /// Fills the file begun last from a descriptor.
    fn content(
        &mut self,
        passed: Passed,
        size: u64,
        channel: &mut Channel,
        progress: Progress<'_>,
    ) -> Result<()> {
        let begun = self
            .file
            .as_mut()
            .filter(|begun| begun.written == 0 && size > 0)
            .ok_or_else(out_of_turn)?;
        let from = passed
            .regular_on(self.device)
            .map_err(|_| protocol("a descriptor that is no file of the sandbox's"))?;
        let before = self.totals;
        let copied = self.copier.copy(&from, &begun.file, size, |more| {
            self.totals.passed = self.totals.passed.saturating_add(more);
            progress(&self.totals);
            channel.keep_alive().map_err(|_| ErrorKind::BrokenPipe.into())
        });
        copied.at_entry("copy", || self.walk.path_of(self.name.name()))?;
        begun.written = size;
        self.totals.passed = before.passed.checked_add(size).ok_or_else(out_of_turn)?;
        Ok(())
    }

    /// Makes one more name of a file that has arrived.
    fn link(&mut self, name: Name<'_>, number: u32) -> Result<()> {
        // Where a link leads depends on where it is, and this is another place than the first.
        if let Some(target) = self.numbered.target(number).filter(|_| self.guard.is_some()) {
            if links::judge(&target, self.walk.depth()) != Verdict::Stays {
                return Err(out_of_turn());
            }
        }
        let linked = self.numbered.link(number, self.walk.here()?, name);
        linked.at_entry("create the hard link", || self.walk.path_of(name))
    }

    /// Both sides agree on what has arrived; the rest is by our own judgement.
    fn end(&mut self, attributes: Attributes, totals: Totals, dropped: Dropped) -> Result<Built> {
        if self.walk.depth() > 0 || totals != self.totals {
            return Err(protocol("its totals are not what arrived"));
        }
        self.open_to_others |= attributes.mode & 0o022 != 0;
        self.numbered.forget()?;
        let (links, left) = match self.guard.take() {
            Some(guard) => guard.end(self.walk.here()?, self.walk.path())?,
            None => (0, Vec::new()),
        };
        Ok(Built { attributes, totals, dropped: Dropped { links, ..dropped }, left })
    }

    /// The top directory, to add to it what the records don't hold.
    pub fn top(&self) -> Result<&Dir> {
        self.walk.here()
    }

    /// Gives the complete tree's top its attributes, with all rights for its owner.
    pub fn finish(self, attributes: Attributes) -> Result<()> {
        finish(self.walk.here()?, self.walk.path(), attributes, 0o700)
    }

    /// As [`Builder::finish`]; but if others may write to any directory of the tree, its top is
    /// closed to them. A directory in its new owner's name is not to be changed by what its old
    /// owner left running.
    pub fn finish_closed(self, mut attributes: Attributes) -> Result<()> {
        if self.open_to_others {
            attributes.mode &= 0o700;
        }
        self.finish(attributes)
    }

    /// Keeps a file that may have further names under its number; 0 is none.
    fn keep(&mut self, name: Name<'_>, number: u32) -> Result<()> {
        if number == 0 {
            return Ok(());
        }
        let kept = self.numbered.keep(self.walk.here()?, name, number)?;
        kept.at_entry("create a hard link to", || self.walk.path_of(name))
    }
}

/// The last steps for a file: its length, its mode (a write would clear bits of it), its time (a
/// write would change it).
fn close(file: File, written: u64, size: u64, attributes: Attributes) -> sys::Result<()> {
    if size < written {
        return Err(Errno::EPROTO);
    }
    if size > written {
        file.set_len(size).map_err(|error| sys::errno(&error))?;
    }
    if attributes.mode != 0o600 {
        file::set_mode(&file, attributes.mode)?;
    }
    file::set_modified(&file, attributes.modified)?;
    sys::fd::close(OwnedFd::from(file))
}

/// The last steps for a directory: its time, which every new entry has changed, and its mode. The
/// mode comes last: at the top of what comes back it says that all is there.
fn finish(dir: &Dir, path: &OsStr, attributes: Attributes, and: u32) -> Result<()> {
    dir.set_modified(attributes.modified).at("set the time of", path)?;
    dir.set_mode(attributes.mode | and).at("set the mode of", path)
}

fn out_of_turn() -> Error {
    protocol("a record out of turn")
}

fn protocol(what: &'static str) -> Error {
    lost(ConnectionError::Protocol(what))
}

fn lost(cause: ConnectionError) -> Error {
    Error::connection("the sending side", cause)
}
