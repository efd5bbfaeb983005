//! Walking a tree and sending it as records.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use error::{ConnectionError, Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name, Stat, Time, file, xattr};
use wire::frame::CHUNK;
use wire::{Attributes, Channel, Dropped, Frame, Links, Totals};

use super::content::{self, LARGE};
use super::descent::Descent;
use super::links::{self, Verdict};
use super::names::Names;
use super::target::{self, Target};
use super::{Progress, open_dir_as_it_was, opened, vanished};

/// In which direction a tree goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The batch user hands it to the job user, and means all of it: what can't be read is an
    /// error. A file that others may write to is not passed as a descriptor: the job user could
    /// open it again to write, before it has changed hands.
    HandOver,
    /// Its owner copies it, and it stays as it is: nothing is opened up, and what can't be read is
    /// an error.
    Copy,
    /// The job user gives it back. What others have put there and nobody else can read must not
    /// keep the rest, and is left behind, counted; so are the links that leave it, as the
    /// policy says.
    BringBack(Links),
}

/// Sends the tree below `top`, which is shown as `path`; the top-level entry named `except` is left
/// out. `device` is that of the directory that the copy is made in: large files on it are passed as
/// descriptors.
///
/// Returns what was sent and what was left behind. Errors name the file. A file that somebody still
/// writes to is sent as long as it was when it was opened; the totals count what was sent.
pub fn send(
    top: Dir,
    path: &OsStr,
    except: Option<Name<'_>>,
    (way, device): (Way, u64),
    channel: &mut Channel,
    progress: Progress<'_>,
) -> Result<(Totals, Dropped)> {
    let mut walk = Descent::new(top, path);
    let mut sender = Sender {
        channel,
        progress,
        way,
        device,
        totals: Totals::default(),
        dropped: Dropped::default(),
        several: HashMap::new(),
        once: HashMap::new(),
        last_number: 0,
        silent: false,
        names: Vec::new(),
        value: Vec::new(),
    };
    let attributes = sender.tree(&mut walk, except)?;
    let (totals, dropped) = (sender.totals, sender.dropped);
    sender.put(Frame::End { attributes, totals, dropped })?;
    sender.channel.flush().map_err(broken)?;
    Ok((totals, dropped))
}

struct Sender<'a> {
    channel: &'a mut Channel,
    progress: Progress<'a>,
    way: Way,
    device: u64,
    totals: Totals,
    dropped: Dropped,
    /// The files with names that have not been met yet, by device and inode.
    several: HashMap<(u64, u64), Numbered>,
    /// The files of which there is one copy, however often they are met.
    once: HashMap<Once, u32>,
    last_number: u32,
    /// A link has led to a file system that does not answer: no other is followed.
    silent: bool,
    /// Room for a list of attributes, and for the value of one.
    names: Vec<u8>,
    value: Vec<u8>,
}

/// A file with several names that has been sent.
struct Numbered {
    number: u32,
    /// How many of its names have not been met: after the last one it is forgotten.
    names_left: u32,
}

/// By what a file is known when it is met again that is not known by its names.
#[derive(PartialEq, Eq, Hash)]
enum Once {
    /// Device and inode, and what changes when the inode is used for another file: it has one name,
    /// which may be a new one.
    Large((u64, u64), u64, Time),
    /// Device and inode of what a link leads to.
    Target((u64, u64)),
}

/// A directory on the way, whose files are sent.
struct Sent {
    attributes: Attributes,
    subdirectories: Names,
}

impl Sender<'_> {
    /// Sends everything below the top; returns the top's own attributes.
    fn tree(&mut self, walk: &mut Descent, except: Option<Name<'_>>) -> Result<Attributes> {
        let mut way = vec![self.directory(walk, except, None)?];
        loop {
            let Some(here) = way.last_mut() else {
                return Err(Error::refused(walk.path(), "the walk has left its tree"));
            };
            if let Some(name) = here.subdirectories.last() {
                walk.check_depth()?;
                let opened = match self.way {
                    Way::Copy => opened(walk.here()?.open_dir(name), || walk.path_of(name))
                        .map(|dir| (dir, None)),
                    _ => open_dir_as_it_was(walk.here()?, name, || walk.path_of(name)),
                };
                let entered = match self.readable(opened)? {
                    Some((dir, mode)) => {
                        self.put(Frame::Directory { name })?;
                        self.totals.directories += 1;
                        walk.enter(name, dir)?;
                        Some(self.directory(walk, None, mode)?)
                    }
                    None => None,
                };
                here.subdirectories.pop();
                way.extend(entered);
            } else {
                let attributes = here.attributes;
                way.pop();
                if way.is_empty() {
                    return Ok(attributes);
                }
                self.put(Frame::Up { attributes })?;
                walk.leave()?;
            }
        }
    }

    /// Sends the directory's own attributes and all entries that are not directories. `mode` is the
    /// one that it had, if it had to be opened up.
    fn directory(
        &mut self,
        walk: &Descent,
        except: Option<Name<'_>>,
        mode: Option<u32>,
    ) -> Result<Sent> {
        let here = walk.here()?;
        let stat = here.stat_self().at("examine", walk.path())?;
        let access = self.attributes_of(here, || walk.path().to_os_string())?;
        let attributes = self.attributes(mode.unwrap_or(stat.mode()), access, stat.modified());
        if stat.mode() & 0o500 != 0o500 && self.way != Way::Copy {
            // Readable, or we would not be here, but not searchable: the entries could be listed
            // and not opened.
            here.set_mode(stat.mode() | 0o700).at("open up", walk.path())?;
        }
        let mut subdirectories = Names::default();
        let listed = here.for_each_entry(|name, kind| {
            if Some(name) != except && self.entry(walk, name, kind)? == Kind::Directory {
                subdirectories.push(name);
            }
            Ok(())
        });
        listed.at("read the directory", walk.path())??;
        Ok(Sent { attributes, subdirectories })
    }

    /// Sends an entry, unless it is a directory; tells which kind it is. One that is gone by now is
    /// no error: a process that outlived the job may still be at work.
    fn entry(&mut self, walk: &Descent, name: Name<'_>, kind: Option<Kind>) -> Result<Kind> {
        let kind = match kind {
            Some(kind) => kind,
            None => {
                let stat = walk.here()?.stat(name).at_entry("examine", || walk.path_of(name));
                vanished(stat)?.map_or(Kind::Special, |stat| stat.kind())
            }
        };
        match kind {
            Kind::Directory => return Ok(kind),
            Kind::Special => self.dropped.specials += 1,
            Kind::Symlink => self.symlink(walk, name)?,
            Kind::File => {
                let opened = open_file(walk, name, self.way != Way::Copy);
                if let Some((file, mode)) = self.readable(opened)? {
                    let stat = file::stat(&file).at_entry("examine", || walk.path_of(name))?;
                    // What is sent is what the descriptor leads to, whatever the name has led to
                    // before.
                    match stat.kind() {
                        Kind::File => self.file(walk, name, &file, &stat, mode)?,
                        _ => self.dropped.specials += 1,
                    }
                }
            }
        }
        (self.progress)(&self.totals);
        Ok(kind)
    }

    /// Sends a link, or what the policy wants in its place.
    fn symlink(&mut self, walk: &Descent, name: Name<'_>) -> Result<()> {
        let here = walk.here()?;
        let stat = here.stat(name).at_entry("examine", || walk.path_of(name));
        let target = here.read_link(name).map_err(|cause| match cause {
            Errno::EINVAL => Errno::ENOENT, // it is another kind of file by now
            cause => cause,
        });
        let target = target.at_entry("read the link", || walk.path_of(name));
        let (Some(stat), Some(target)) = (vanished(stat)?, vanished(target)?) else {
            return Ok(());
        };
        let (policy, verdict) = match self.way {
            Way::BringBack(policy @ (Links::Copy | Links::Drop)) => {
                (policy, judge(walk, name, &target)?)
            }
            _ => (Links::Keep, Verdict::Stays),
        };
        if verdict != Verdict::Leaves {
            // What the receiver judges later has to stand for itself.
            let number =
                if verdict == Verdict::Unsure { Some(0) } else { self.first_name(name, &stat)? };
            if let Some(number) = number {
                self.put(Frame::Symlink {
                    name,
                    number,
                    modified: stat.modified(),
                    target: &target,
                })?;
                self.totals.symlinks += 1;
            }
            return Ok(());
        }
        if policy == Links::Copy && !self.silent {
            let channel = &mut *self.channel;
            let mut beat = || {
                // A helper that is gone is noticed when the next record is sent.
                let _ = channel.keep_alive();
            };
            match target::open(here, name, &mut beat) {
                Target::File(file, stat) => return self.copy_of_target(walk, name, &file, &stat),
                Target::Other => {}
                Target::Silent => self.silent = true,
            }
        }
        self.dropped.links += 1;
        self.put(Frame::DroppedLink { name })
    }

    /// Sends a copy of the file that a link leads to. Many links may lead to one file: it is copied
    /// once, and its attributes, which may be anything where it comes from, are not.
    fn copy_of_target(
        &mut self,
        walk: &Descent,
        name: Name<'_>,
        file: &File,
        stat: &Stat,
    ) -> Result<()> {
        let Some(number) = self.once(name, Once::Target(stat.identity()))? else { return Ok(()) };
        self.put(Frame::File { name, number })?;
        let size = self.content(walk, name, file, stat)?;
        let attributes = self.attributes(stat.mode(), None, stat.modified());
        self.totals.files += 1;
        self.put(Frame::Close { size, attributes })
    }

    /// The number of a file that may be met again when it is met first (0: it will not be). For a
    /// further name the link is sent instead.
    ///
    /// A large file has a number also if it has one name: a process that outlived the job may move
    /// it ahead of the walk, again and again, and it is not to be copied each time.
    fn first_name(&mut self, name: Name<'_>, stat: &Stat) -> Result<Option<u32>> {
        let large = matches!(self.way, Way::BringBack(_))
            && stat.kind() == Kind::File
            && stat.size() >= LARGE;
        if stat.nlink() < 2 {
            let known = Once::Large(stat.identity(), stat.size(), stat.modified());
            return if large { self.once(name, known) } else { Ok(Some(0)) };
        }
        let number = match self.several.entry(stat.identity()) {
            Entry::Vacant(vacant) => {
                let number = next(&mut self.last_number)?;
                let names_left = u32::try_from(stat.nlink() - 1).unwrap_or(u32::MAX);
                vacant.insert(Numbered { number, names_left });
                return Ok(Some(number));
            }
            Entry::Occupied(mut met) => {
                met.get_mut().names_left -= 1;
                if met.get().names_left == 0 { met.remove().number } else { met.get().number }
            }
        };
        self.link(name, number).map(|()| None)
    }

    /// As [`Sender::first_name`], for a file that there is one copy of, however often it is met.
    fn once(&mut self, name: Name<'_>, known: Once) -> Result<Option<u32>> {
        match self.once.entry(known) {
            Entry::Vacant(vacant) => Ok(Some(*vacant.insert(next(&mut self.last_number)?))),
            Entry::Occupied(met) => {
                let number = *met.get();
                self.link(name, number).map(|()| None)
            }
        }
    }

    fn link(&mut self, name: Name<'_>, number: u32) -> Result<()> {
        self.totals.links += 1;
        self.put(Frame::Link { name, number })
    }

    /// Sends an open file; or, if that was sent before, one more name of it. `mode` is the one that
    /// it had, if it had to be opened up.
    fn file(
        &mut self,
        walk: &Descent,
        name: Name<'_>,
        file: &File,
        stat: &Stat,
        mode: Option<u32>,
    ) -> Result<()> {
        let Some(number) = self.first_name(name, stat)? else { return Ok(()) };
        self.put(Frame::File { name, number })?;
        let access = self.attributes_of(file, || walk.path_of(name))?;
        let size = self.content(walk, name, file, stat)?;
        let attributes = self.attributes(mode.unwrap_or(stat.mode()), access, stat.modified());
        self.totals.files += 1;
        self.put(Frame::Close { size, attributes })
    }

    /// Whether a file is passed as a descriptor.
    fn lends(&self, stat: &Stat) -> bool {
        let written_by_others = self.way == Way::HandOver && stat.mode() & 0o022 != 0;
        stat.size() >= LARGE && stat.identity().0 == self.device && !written_by_others
    }

    /// Passes an open file, and waits until its content has been taken. False if the kernel does
    /// not want to.
    fn pass(&mut self, file: &File, stat: &Stat) -> Result<bool> {
        let passed =
            self.channel.pass(Frame::Content { size: stat.size() }, file).map_err(broken)?;
        if passed.is_none() {
            return Ok(false);
        }
        // It is copied faster than a mebibyte a second, or it is not copied at all.
        let work = Duration::from_secs(stat.size() >> 20);
        match self.channel.receive_after(work).map_err(broken)? {
            Frame::Taken => {}
            Frame::Failed { text } => {
                return Err(Error::Told { who: RECEIVER, text: text.to_vec() });
            }
            _ => return Err(broken(ConnectionError::Protocol("an answer out of turn"))),
        }
        self.totals.passed += stat.size();
        Ok(true)
    }

    /// Sends a file's content; returns how long it is by now, at most what it was when it was
    /// opened.
    fn content(&mut self, walk: &Descent, name: Name<'_>, file: &File, stat: &Stat) -> Result<u64> {
        if self.lends(stat) && self.pass(file, stat)? {
            return Ok(stat.size());
        }
        self.bytes(walk, name, file, stat)
    }

    /// Sends a file's bytes, without its holes; returns as [`Sender::content`].
    fn bytes(&mut self, walk: &Descent, name: Name<'_>, file: &File, stat: &Stat) -> Result<u64> {
        let mut offset = 0;
        loop {
            let data = content::next_data(file, stat, offset..stat.size());
            let Some(data) = data.at_entry("seek in", || walk.path_of(name))? else {
                return Ok(stat.size());
            };
            offset = data.start;
            while offset < data.end {
                let length = usize::try_from(data.end - offset).unwrap_or(CHUNK).min(CHUNK);
                let read = self
                    .channel
                    .queue_data(offset, length, |room| file.read_at(room, offset))
                    .map_err(broken)?;
                let read = read.at_entry("read", || walk.path_of(name))? as u64;
                if read == 0 {
                    return Ok(offset);
                }
                offset += read;
                self.totals.bytes += read;
                (self.progress)(&self.totals);
            }
        }
    }

    /// Sends the user's attributes of an open file or directory; returns the group bits of an
    /// access control list, if there is one.
    fn attributes_of(
        &mut self,
        file: &impl AsFd,
        path: impl Fn() -> std::ffi::OsString,
    ) -> Result<Option<u32>> {
        xattr::list(file, &mut self.names).at_entry("list the attributes of", &path)?;
        let mut group = None;
        let names = std::mem::take(&mut self.names);
        for name in names.split_inclusive(|byte| *byte == 0) {
            let Ok(with_nul) = CStr::from_bytes_with_nul(name) else {
                continue;
            };
            let user = with_nul.to_bytes().starts_with(b"user.");
            let list = with_nul == c"system.posix_acl_access";
            if !user && !EVERYWHERE.contains(&with_nul) {
                self.dropped.attributes += 1;
            }
            if !user && !list {
                continue;
            }
            match xattr::get(file, with_nul, &mut self.value) {
                Err(Errno::ENODATA) => {} // removed meanwhile
                got if list => {
                    got.at_entry("read an access control list of", &path)?;
                    group = group_entry(&self.value);
                }
                got => {
                    got.at_entry("read an attribute of", &path)?;
                    self.totals.attributes += 1;
                    let frame = Frame::Attribute { name: with_nul.to_bytes(), value: &self.value };
                    self.channel.queue(frame).map_err(broken)?;
                }
            }
        }
        self.names = names;
        Ok(group)
    }

    /// The attributes that are sent. Where there was an access control list, the group bits of the
    /// mode were its mask: what the group may do is what its own entry and the mask allow.
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
            Err(Error::System { cause: Errno::EPERM, .. })
                if matches!(self.way, Way::BringBack(_)) =>
            {
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

/// Attributes that the copy gets by itself, where the system has them at all: they are no loss.
const EVERYWHERE: [&CStr; 2] = [c"security.selinux", c"system.nfs4_acl"];

/// The number after the last one.
fn next(last: &mut u32) -> Result<u32> {
    *last = last
        .checked_add(1)
        .ok_or_else(|| Error::refused("the sandbox", "too many files to tell them apart"))?;
    Ok(*last)
}

/// Opens a file to read it; if that is wanted, one that its owner can't read is opened up first,
/// and the mode that it had is returned.
fn open_file(walk: &Descent, name: Name<'_>, opens_up: bool) -> Result<(File, Option<u32>)> {
    let here = walk.here()?;
    let file = match here.open_file(name) {
        Err(Errno::EACCES) if opens_up => here
            .add_mode(name, 0o400)
            .and_then(|mode| here.open_file(name).map(|file| (file, Some(mode)))),
        file => file.map(|file| (file, None)),
    };
    opened(file, || walk.path_of(name))
}

/// Whether a link leaves the tree: by its names, or where these don't tell, by what the kernel
/// finds, and a doubt is a yes.
fn judge(walk: &Descent, name: Name<'_>, target: &[u8]) -> Result<Verdict> {
    let verdict = links::judge(target, walk.depth());
    if verdict == Verdict::Unsure {
        let path = walk.below_top(name);
        let top = walk.top()?;
        if path.is_none_or(|path| top.leads_outside(&path) != Some(false)) {
            return Ok(Verdict::Leaves);
        }
    }
    Ok(verdict)
}

/// How messages name the other side.
const RECEIVER: &str = "the receiving side";

fn broken(cause: ConnectionError) -> Error {
    Error::connection(RECEIVER, cause)
}

/// The bits of the owning group's own entry of an access control list, as the kernel stores the
/// list: a version (4 bytes), then entries of tag (2 bytes), bits (2 bytes) and id (4 bytes),
/// little-endian (linux/posix_acl_xattr.h).
fn group_entry(list: &[u8]) -> Option<u32> {
    const GROUP_OBJ: u16 = 4;
    let entries = list.get(4..)?.chunks_exact(8);
    entries
        .map(|entry| (u16::from_le_bytes([entry[0], entry[1]]), entry[2] & 7))
        .find(|(tag, _)| *tag == GROUP_OBJ)
        .map(|(_, bits)| u32::from(bits))
}
