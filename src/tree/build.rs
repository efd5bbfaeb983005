//! Building a tree from records.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use super::beside::Place;
use super::descent::Descent;
use super::remove;
use crate::error::{Context as _, Error, Result};
use crate::sys::{self, Dir, Errno, Name, OwnedName, Rename, attribute, dir};
use crate::wire::{Attributes, Broken, Dropped, Frame, Totals};

/// Builds a tree from the records of a sender that is not trusted: whatever it sends, everything is created below the
/// top, exclusively, as the builder's own, and without any privilege bit.
pub struct Builder<'a> {
    walk: Descent,
    file: Option<Begun>,
    totals: Totals,
    /// Whether others than the owner may write to a directory of the tree.
    open_to_others: bool,
    /// Where files with further names are kept under their number, so that each is found again by a single component;
    /// beside the tree, made when first needed.
    numbered: Option<(OwnedName, Dir)>,
    place: &'a Place,
}

/// A file whose content is arriving.
struct Begun {
    file: File,
    name: OwnedName,
    written: u64,
}

/// What a record led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More records follow.
    More,
    /// The tree is complete, except for the top's own attributes, which are these; and what its sender says it dropped.
    Complete(Attributes, Dropped),
}

impl<'a> Builder<'a> {
    /// Builds in the new and empty directory `top`, named `name` at its place.
    pub fn new(top: Dir, place: &'a Place, name: Name<'_>) -> Result<Self> {
        let path = place.path_of(name);
        // A default access control list of the parent would be handed down to every file of the tree.
        for list in [c"system.posix_acl_default", c"system.posix_acl_access"] {
            attribute::remove(&top, list).at("remove an access control list of", &path)?;
        }
        let walk = Descent::new(top, path)?;
        Ok(Builder { walk, file: None, totals: Totals::default(), open_to_others: false, numbered: None, place })
    }

    /// Carries out one record.
    pub fn record(&mut self, frame: Frame<'_>) -> Result<Step> {
        if self.file.is_some() && !matches!(frame, Frame::Data { .. } | Frame::Attribute { .. } | Frame::Close { .. }) {
            return Err(out_of_turn());
        }
        match frame {
            Frame::Directory { name } => {
                self.walk.check_depth()?;
                let made =
                    self.walk.here()?.create_dir(name).at_entry("create the directory", || self.walk.path_of(name))?;
                self.walk.enter(name, made)?;
                self.totals.directories += 1;
            }
            Frame::Up { attributes } => {
                if self.walk.depth() == 0 {
                    return Err(out_of_turn());
                }
                let path = self.walk.path().to_os_string();
                // Left first: the way back up may lead through this directory, whose mode may forbid that later.
                self.open_to_others |= attributes.mode & 0o022 != 0;
                if let Some(complete) = self.walk.leave()? {
                    finish(&complete, &path, attributes, 0)?;
                }
            }
            Frame::File { name, number } => {
                let file = self.walk.here()?.create_file(name).at_entry("create", || self.walk.path_of(name))?;
                self.file = Some(Begun { file, name: name.into(), written: 0 });
                self.totals.files += 1;
                self.keep(name, number)?;
            }
            Frame::Data { offset, bytes } => {
                let begun = self.file.as_mut().ok_or_else(out_of_turn)?;
                let end = offset.checked_add(bytes.len() as u64).ok_or_else(out_of_turn)?;
                begun.file.write_all_at(bytes, offset).at_entry("write", || self.walk.path_of(begun.name.name()))?;
                begun.written = begun.written.max(end);
                self.totals.bytes += bytes.len() as u64;
            }
            Frame::Attribute { name, value } => {
                let (set, path) = match &self.file {
                    Some(begun) => (attribute::set(&begun.file, name, value), self.walk.path_of(begun.name.name())),
                    None => (attribute::set(self.walk.here()?, name, value), self.walk.path().to_os_string()),
                };
                set.at("set an attribute of", path)?;
                self.totals.attributes += 1;
            }
            Frame::Close { size, attributes } => {
                let begun = self.file.take().ok_or_else(out_of_turn)?;
                let Begun { file, name, written } = begun;
                close(file, written, size, attributes).at_entry("complete", || self.walk.path_of(name.name()))?;
            }
            Frame::Symlink { name, number, modified, target } => {
                let here = self.walk.here()?;
                let made = here.create_symlink(name, target).and_then(|()| here.set_modified_at(name, modified));
                made.at_entry("create the link", || self.walk.path_of(name))?;
                self.totals.symlinks += 1;
                self.keep(name, number)?;
            }
            Frame::Link { name, number } => {
                let (_, numbered) = self.numbered.as_ref().ok_or_else(out_of_turn)?;
                let (mut room, here) = ([0; 10], self.walk.here()?);
                let number = digits(number, &mut room)?;
                let linked = match numbered.link(number, here, name) {
                    // The file has as many names as it can have, and the numbered one is not to be the last straw.
                    Err(Errno::EMLINK) => numbered.rename_into(number, here, name, Rename::NoReplace),
                    linked => linked,
                };
                linked.at_entry("create the hard link", || self.walk.path_of(name))?;
                self.totals.links += 1;
            }
            Frame::End { attributes, totals, dropped } => {
                if self.walk.depth() > 0 || totals != self.totals {
                    return Err(protocol("its totals are not what arrived"));
                }
                self.open_to_others |= attributes.mode & 0o022 != 0;
                self.forget_numbers()?;
                return Ok(Step::Complete(attributes, dropped));
            }
            Frame::Failed { text } => {
                return Err(Error::Told { who: "the sending side", text: text.to_vec() });
            }
            _ => return Err(out_of_turn()),
        }
        Ok(Step::More)
    }

    /// What has been built.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The top directory, to add to it what the records don't hold.
    pub fn top(&self) -> Result<&Dir> {
        self.walk.here()
    }

    /// Gives the complete tree's top its attributes, with all rights for its owner.
    pub fn finish(self, attributes: Attributes) -> Result<()> {
        finish(self.walk.here()?, self.walk.path(), attributes, 0o700)
    }

    /// As [`Builder::finish`]; but if others may write to any directory of the tree, its top is closed to them. A
    /// directory in its new owner's name is not to be changed by what its old owner left running.
    pub fn finish_closed(self, mut attributes: Attributes) -> Result<()> {
        if self.open_to_others {
            attributes.mode &= 0o700;
        }
        self.finish(attributes)
    }

    /// Keeps a file that has further names under its number.
    fn keep(&mut self, name: Name<'_>, number: u32) -> Result<()> {
        if number == 0 {
            return Ok(());
        }
        let numbered = match self.numbered.take() {
            Some(numbered) => numbered,
            None => self.place.create_dir()?,
        };
        let (_, dir) = self.numbered.insert(numbered);
        let kept = self.walk.here()?.link(name, dir, digits(number, &mut [0; 10])?);
        kept.at_entry("create a hard link to", || self.walk.path_of(name))
    }

    /// Removes the directory of numbered files.
    fn forget_numbers(&mut self) -> Result<()> {
        match self.numbered.take() {
            Some((name, _)) => remove(&self.place.parent, name.name(), &self.place.path),
            None => Ok(()),
        }
    }
}

impl Drop for Builder<'_> {
    fn drop(&mut self) {
        // A tree that was given up: what remains is only a name beside it, which the next sweep would find, too.
        let _ = self.forget_numbers();
    }
}

/// The last steps for a file: its length, its mode (a write would clear bits of it), its time (a write would change it).
fn close(file: File, written: u64, size: u64, attributes: Attributes) -> std::result::Result<(), Errno> {
    if size < written {
        return Err(Errno::EPROTO);
    }
    if size > written {
        file.set_len(size).map_err(|error| sys::errno(&error))?;
    }
    if attributes.mode != 0o600 {
        dir::set_mode(&file, attributes.mode)?;
    }
    dir::set_modified(&file, attributes.modified)?;
    sys::fd::close(OwnedFd::from(file))
}

/// The last steps for a directory: its mode, and its time, which every new entry has changed.
fn finish(dir: &Dir, path: &OsStr, attributes: Attributes, and: u32) -> Result<()> {
    dir.set_mode(attributes.mode | and).at("set the mode of", path)?;
    dir.set_modified(attributes.modified).at("set the time of", path)
}

/// A number as a name.
fn digits(number: u32, room: &mut [u8; 10]) -> Result<Name<'_>> {
    use std::io::Write as _;
    let mut rest = &mut room[..];
    let written = write!(rest, "{number}").map(|()| 10 - rest.len());
    written.ok().and_then(|length| Name::new(&room[..length])).ok_or_else(out_of_turn)
}

fn out_of_turn() -> Error {
    protocol("a record out of turn")
}

fn protocol(what: &'static str) -> Error {
    Error::Connection { with: "the sending side", cause: Broken::Protocol(what) }
}
