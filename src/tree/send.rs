//! Walking a tree and sending it as records.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::descent::Descent;
use super::{open_dir_as_it_was, opened, vanished};
use crate::error::{Context as _, Error, Result};
use crate::sys::{Dir, Errno, Kind, Name, OwnedName, Stat, Time, attribute, dir};
use crate::wire::frame::CHUNK;
use crate::wire::{Attributes, Broken, Channel, Dropped, Frame, Totals};

/// What becomes of files and directories that are somebody else's, and not readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Fail: whoever hands a tree over means all of it.
    Refuse,
    /// Leave them behind, counted: what others put into a job's directory must not keep its files from coming back.
    Drop,
}

/// Sends the tree below `top`, which is shown as `path`; the top-level entry named `except` is left out.
///
/// Returns what was sent and what was left behind. Errors name the file. A file that somebody still writes to is sent as
/// long as it was when it was opened; the totals count what was sent.
pub fn send(
    top: Dir,
    path: &OsStr,
    except: Option<Name<'_>>,
    unreadable: Unreadable,
    channel: &mut Channel,
) -> Result<(Totals, Dropped)> {
    let walk = Descent::new(top, path)?;
    let mut sender = Sender {
        walk,
        channel,
        unreadable,
        totals: Totals::default(),
        dropped: Dropped::default(),
        numbers: HashMap::new(),
        chunk: vec![0; CHUNK],
        names: Vec::new(),
        value: Vec::new(),
    };
    let attributes = sender.tree(except)?;
    let (totals, dropped) = (sender.totals, sender.dropped);
    sender.put(Frame::End { attributes, totals, dropped })?;
    sender.channel.flush().map_err(broken)?;
    Ok((totals, dropped))
}

struct Sender<'a> {
    walk: Descent,
    channel: &'a mut Channel,
    unreadable: Unreadable,
    totals: Totals,
    dropped: Dropped,
    /// The files with further names: device and inode, and their number.
    numbers: HashMap<(u64, u64), u32>,
    /// Room for a piece of a file; for a list of attributes; and for the value of one.
    chunk: Vec<u8>,
    names: Vec<u8>,
    value: Vec<u8>,
}

/// A directory on the way, whose files are sent.
struct Sent {
    attributes: Attributes,
    subdirectories: Vec<OwnedName>,
}

impl Sender<'_> {
    /// Sends everything below the top; returns the top's own attributes.
    fn tree(&mut self, except: Option<Name<'_>>) -> Result<Attributes> {
        let mut way = vec![self.directory(except, None)?];
        loop {
            let Some(here) = way.last_mut() else {
                return Err(Error::refused(self.walk.path(), "the walk has left its tree"));
            };
            if let Some(next) = here.subdirectories.pop() {
                let name = next.name();
                self.walk.check_depth()?;
                let opened = open_dir_as_it_was(self.walk.here()?, name, &self.walk.path_of(name));
                let Some((dir, mode)) = self.readable(opened)? else { continue };
                self.put(Frame::Directory { name })?;
                self.totals.directories += 1;
                self.walk.enter(name, dir)?;
                way.push(self.directory(None, mode)?);
            } else {
                let attributes = here.attributes;
                way.pop();
                if way.is_empty() {
                    return Ok(attributes);
                }
                self.put(Frame::Up { attributes })?;
                self.walk.leave()?;
            }
        }
    }

    /// Sends the directory's own attributes and all entries that are not directories. `mode` is the one that it had, if
    /// it had to be opened up.
    fn directory(&mut self, except: Option<Name<'_>>, mode: Option<u32>) -> Result<Sent> {
        let stat = self.walk.here()?.stat_self().at("examine", self.walk.path())?;
        let access = self.attributes_of_directory()?;
        let attributes = self.attributes(mode.unwrap_or(stat.mode()), access, stat.modified());
        if stat.mode() & 0o500 != 0o500 {
            // Readable, or we would not be here, but not searchable: the entries could be listed and not opened.
            self.walk.here()?.set_mode(stat.mode() | 0o700).at("open up", self.walk.path())?;
        }
        let mut subdirectories = Vec::new();
        let mut others = Vec::new();
        let here = self.walk.here()?;
        let listed = here.for_each(|name, kind| {
            if Some(name) != except {
                let list = if kind == Some(Kind::Directory) { &mut subdirectories } else { &mut others };
                list.push(OwnedName::from(name));
            }
            Ok(())
        });
        listed.at("read the directory", self.walk.path())?;
        for other in others {
            if self.entry(other.name())? == Kind::Directory {
                subdirectories.push(other);
            }
        }
        Ok(Sent { attributes, subdirectories })
    }

    /// Sends an entry, unless it is a directory after all; tells which kind it is. One that is gone by now is no error:
    /// a process that outlived the job may still be at work.
    fn entry(&mut self, name: Name<'_>) -> Result<Kind> {
        let stat = self.walk.here()?.stat(name).at_entry("examine", || self.walk.path_of(name));
        let Some(stat) = vanished(stat)? else {
            return Ok(Kind::Special);
        };
        match stat.kind() {
            Kind::Directory => {}
            Kind::Special => self.dropped.specials += 1,
            Kind::Symlink => {
                if let Some(number) = self.first_name(name, &stat)? {
                    let target =
                        self.walk.here()?.read_link(name).at_entry("read the link", || self.walk.path_of(name))?;
                    self.put(Frame::Symlink { name, number, modified: stat.modified(), target: &target })?;
                    self.totals.symlinks += 1;
                }
            }
            Kind::File => {
                // What is sent is what the descriptor leads to, not what the name did; but its mode is the one from before
                // it was opened up.
                let opened = self.open(name);
                let Some(file) = self.readable(opened)? else { return Ok(Kind::Special) };
                let open = dir::stat_file(&file).at_entry("examine", || self.walk.path_of(name))?;
                let mode = if open.identity() == stat.identity() { stat.mode() } else { open.mode() };
                if open.kind() != Kind::File {
                    self.dropped.specials += 1;
                } else if let Some(number) = self.first_name(name, &open)? {
                    self.put(Frame::File { name, number })?;
                    self.file(name, &file, &open, mode)?;
                }
            }
        }
        Ok(stat.kind())
    }

    /// The number of a file with several names when its first is met (0: it has one name only). For a further name the
    /// link is sent instead.
    fn first_name(&mut self, name: Name<'_>, stat: &Stat) -> Result<Option<u32>> {
        if stat.names() < 2 {
            return Ok(Some(0));
        }
        let next = u32::try_from(self.numbers.len() + 1).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(stat.identity()).or_insert(next);
        if number == next {
            return Ok(Some(number));
        }
        self.totals.links += 1;
        self.put(Frame::Link { name, number }).map(|()| None)
    }

    /// Opens a file to read it; one that its owner can't read is opened up first.
    fn open(&self, name: Name<'_>) -> Result<File> {
        let here = self.walk.here()?;
        let file = here.open_file(name).or_else(|cause| match cause {
            Errno::EACCES => here.widen(name, 0o400).and_then(|_| here.open_file(name)),
            cause => Err(cause),
        });
        opened(file, || self.walk.path_of(name))
    }

    /// Sends the content and the attributes of an open file.
    fn file(&mut self, name: Name<'_>, file: &File, stat: &Stat, mode: u32) -> Result<()> {
        let listed = attribute::list(file, &mut self.names);
        listed.at_entry("list the attributes of", || self.walk.path_of(name))?;
        let access = self.user_attributes(file, name.os())?;
        let size = if stat.may_have_holes() {
            let mut offset = 0;
            while let Some(start) = dir::next_data(file, offset).at_entry("seek in", || self.walk.path_of(name))? {
                let end =
                    dir::next_hole(file, start).at_entry("seek in", || self.walk.path_of(name))?.unwrap_or(stat.size());
                offset = self.content(name, file, start, end.min(stat.size()))?;
                if offset < end {
                    break;
                }
            }
            stat.size()
        } else {
            self.content(name, file, 0, stat.size())?
        };
        let attributes = self.attributes(mode, access, stat.modified());
        self.totals.files += 1;
        self.put(Frame::Close { size, attributes })
    }

    /// Sends a file's bytes from `start` up to `end`, or as far as it goes by now; returns where that was.
    fn content(&mut self, name: Name<'_>, file: &File, start: u64, end: u64) -> Result<u64> {
        let mut offset = start;
        while offset < end {
            let room = usize::try_from(end - offset).unwrap_or(CHUNK).min(CHUNK);
            let read = file.read_at(&mut self.chunk[..room], offset).at_entry("read", || self.walk.path_of(name))?;
            if read == 0 {
                break;
            }
            self.channel.queue(Frame::Data { offset, bytes: &self.chunk[..read] }).map_err(broken)?;
            offset += read as u64;
            self.totals.bytes += read as u64;
        }
        Ok(offset)
    }

    fn attributes_of_directory(&mut self) -> Result<Option<u32>> {
        let path = self.walk.path().to_os_string();
        let here = self.walk.here()?;
        attribute::list(here, &mut self.names).at("list the attributes of", &path)?;
        if self.names.is_empty() {
            return Ok(None);
        }
        // The walk is borrowed for as long as its directory is; a second descriptor ends that.
        let dir = here.again().at("open", &path)?;
        self.user_attributes(&dir, &path)
    }

    /// Sends the user's attributes of those in `names`; returns the group bits of an access control list, if there is one.
    fn user_attributes(&mut self, file: &impl std::os::fd::AsFd, shown: &OsStr) -> Result<Option<u32>> {
        let mut group = None;
        let names = std::mem::take(&mut self.names);
        for name in names.split_inclusive(|byte| *byte == 0) {
            let Ok(with_nul) = std::ffi::CStr::from_bytes_with_nul(name) else {
                continue;
            };
            let user = with_nul.to_bytes().starts_with(b"user.");
            let list = with_nul == c"system.posix_acl_access";
            if !user {
                self.dropped.attributes += 1;
            }
            if !user && !list {
                continue;
            }
            match attribute::get(file, with_nul, &mut self.value) {
                Err(Errno::ENODATA) => {} // removed meanwhile
                got if list => {
                    got.at("read an access control list of", shown)?;
                    group = group_entry(&self.value);
                }
                got => {
                    got.at("read an attribute of", shown)?;
                    self.totals.attributes += 1;
                    let frame = Frame::Attribute { name: with_nul.to_bytes(), value: &self.value };
                    self.channel.queue(frame).map_err(broken)?;
                }
            }
        }
        self.names = names;
        Ok(group)
    }

    /// The attributes that are sent. Where there was an access control list, the group bits of the mode were its mask: what
    /// the group may do is what its own entry and the mask allow.
    fn attributes(&mut self, mode: u32, group: Option<u32>, modified: Time) -> Attributes {
        if mode & 0o7000 != 0 {
            self.dropped.bits += 1;
        }
        let allowed = group.map_or(0o777, |bits| 0o707 | bits << 3);
        Attributes { mode: mode & 0o777 & allowed, modified }
    }

    /// None for what is gone by now, and for what is left behind.
    fn readable<T>(&mut self, opened: Result<T>) -> Result<Option<T>> {
        match opened {
            Err(Error::System { cause: Errno::EPERM, .. }) if self.unreadable == Unreadable::Drop => {
                self.dropped.unreadable += 1;
                Ok(None)
            }
            opened => vanished(opened),
        }
    }

    fn put(&mut self, frame: Frame<'_>) -> Result<()> {
        self.channel.queue(frame).map_err(broken)
    }
}

fn broken(cause: Broken) -> Error {
    Error::Connection { with: "the receiving side", cause }
}

/// The bits of the owning group's own entry of an access control list, as the kernel stores the list: a version (4
/// bytes), then entries of tag (2 bytes), bits (2 bytes) and id (4 bytes), little-endian (linux/posix_acl_xattr.h).
fn group_entry(list: &[u8]) -> Option<u32> {
    const GROUP_OBJ: u16 = 4;
    let entries = list.get(4..)?.chunks_exact(8);
    entries
        .map(|entry| (u16::from_le_bytes([entry[0], entry[1]]), entry[2] & 7))
        .find(|(tag, _)| *tag == GROUP_OBJ)
        .map(|(_, bits)| u32::from(bits))
}
