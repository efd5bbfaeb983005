//! Walking a tree and sending it as records.

use std::collections::HashMap;
use std::ffi::OsStr;

use error::{ConnectionError, Context as _, Error, Result};
use sys::{Dir, Errno, Kind, Name, file};
use wire::{Attributes, Channel, Dropped, Frame, Links, Totals};

use self::hard_links::{Known, Numbered};
use super::names::Names;
use super::walk::Walk;
use super::{Progress, if_exists, open_dir_and_mode, refuse_mount_point};

mod attributes;
mod content;
mod hard_links;
mod symlink;

/// What a tree is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// The batch user gives it to the job user, all of it: what can't be read is an error. A file
    /// that group or others may write to is not passed as a descriptor: the job user could open it
    /// again for writing while it is still the batch user's.
    Give,
    /// Its owner copies it. It is not changed, not even its modes, and what can't be read is an
    /// error.
    Copy,
    /// The job user sends it back. What other users have put there and the job user can't read is
    /// left behind and counted, so that the rest comes back. So are the links that leave the tree,
    /// as the policy says.
    Take(Links),
}

/// Sends the tree below `top`, which is shown as `path`, without its entry `except`. `device` is
/// that of the directory that the copy is made in: large files on it are passed as descriptors.
///
/// Returns what was sent and what was left behind. Errors name the file. Of a file that another
/// process writes to, as many bytes are sent as it had when it was opened; the totals count what
/// was sent.
pub fn send(
    top: Dir,
    path: &OsStr,
    except: Option<Name<'_>>,
    (transfer, device): (Transfer, u64),
    channel: &mut Channel,
    progress: Progress<'_>,
) -> Result<(Totals, Dropped)> {
    let mut walk = Walk::new(top, path);
    let mut sender = Sender {
        channel,
        progress,
        transfer,
        device,
        totals: Totals::default(),
        dropped: Dropped::default(),
        linked: HashMap::new(),
        known: HashMap::new(),
        last_number: 0,
        follows_links: true,
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
    transfer: Transfer,
    device: u64,
    totals: Totals,
    dropped: Dropped,
    /// The files with names that have not been met yet, by device and inode.
    linked: HashMap<(u64, u64), Numbered>,
    /// The files that are sent once, however often they are met.
    known: HashMap<Known, u32>,
    last_number: u32,
    /// False once a link has led to a file system that does not answer.
    follows_links: bool,
    /// Buffers for a list of attributes, and for the value of one.
    names: Vec<u8>,
    value: Vec<u8>,
}

/// A directory of the walk, whose files are sent.
struct Level {
    attributes: Attributes,
    /// Those that are not sent yet.
    subdirectories: Names,
}

impl Sender<'_> {
    /// Sends everything below the top. Returns the top's own attributes.
    fn tree(&mut self, walk: &mut Walk, except: Option<Name<'_>>) -> Result<Attributes> {
        let mut levels = vec![self.directory(walk, except, None)?];
        loop {
            let Some(level) = levels.last_mut() else {
                return Err(Error::refused(walk.path(), "the walk has no directory"));
            };
            if let Some(name) = level.subdirectories.last() {
                walk.check_depth()?;
                let opened = match self.transfer {
                    Transfer::Copy => {
                        refuse_mount_point(walk.current()?.open_dir(name), || walk.path_of(name))
                            .map(|dir| (dir, None))
                    }
                    _ => open_dir_and_mode(walk.current()?, name, || walk.path_of(name)),
                };
                let below = match self.if_readable(opened)? {
                    Some((dir, mode)) => {
                        self.put(Frame::Directory { name })?;
                        self.totals.directories += 1;
                        walk.enter(name, dir)?;
                        Some(self.directory(walk, None, mode)?)
                    }
                    None => None,
                };
                level.subdirectories.pop();
                levels.extend(below);
            } else {
                let attributes = level.attributes;
                levels.pop();
                if levels.is_empty() {
                    return Ok(attributes);
                }
                self.put(Frame::Up { attributes })?;
                walk.leave()?;
            }
        }
    }

    /// Sends the attributes of the current directory and all entries that are not directories.
    /// `mode` is its former mode, if that had to be changed.
    fn directory(
        &mut self,
        walk: &Walk,
        except: Option<Name<'_>>,
        mode: Option<u32>,
    ) -> Result<Level> {
        let here = walk.current()?;
        let stat = here.stat_self().at("examine", walk.path())?;
        let access = self.send_attributes(here, || walk.path().to_os_string())?;
        let attributes = self.attributes(mode.unwrap_or(stat.mode()), access, stat.modified());
        if stat.mode() & 0o500 != 0o500 && self.transfer != Transfer::Copy {
            // It is open, so it can be read; but its mode denies searching it, and its entries
            // could be listed and not opened.
            here.set_mode(stat.mode() | 0o700).at("set the mode of", walk.path())?;
        }
        let mut subdirectories = Names::default();
        let listed = here.for_each_entry(|name, kind| {
            if Some(name) != except && self.entry(walk, name, kind)? == Kind::Directory {
                subdirectories.push(name);
            }
            Ok(())
        });
        listed.at("read the directory", walk.path())??;
        Ok(Level { attributes, subdirectories })
    }

    /// Sends an entry, unless it is a directory. Returns its kind. An entry that does not exist any
    /// more is no error: a process that the job has left may remove it.
    fn entry(&mut self, walk: &Walk, name: Name<'_>, kind: Option<Kind>) -> Result<Kind> {
        let kind = match kind {
            Some(kind) => kind,
            None => {
                let stat = walk.current()?.stat(name).at_entry("examine", || walk.path_of(name));
                if_exists(stat)?.map_or(Kind::Special, |stat| stat.kind())
            }
        };
        match kind {
            Kind::Directory => return Ok(kind),
            Kind::Special => self.dropped.specials += 1,
            Kind::Symlink => self.symlink(walk, name)?,
            Kind::File => {
                let opened = content::open(walk, name, self.transfer != Transfer::Copy);
                if let Some((file, mode)) = self.if_readable(opened)? {
                    let stat = file::stat(&file).at_entry("examine", || walk.path_of(name))?;
                    // The kind of the open file counts: the name may have led to another one
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

    /// None for an entry that does not exist any more, and for one that is left behind.
    fn if_readable<T>(&mut self, opened: Result<T>) -> Result<Option<T>> {
        match opened {
            Err(Error::System { cause: Errno::EPERM, .. })
                if matches!(self.transfer, Transfer::Take(_)) =>
            {
                self.dropped.unreadable += 1;
                Ok(None)
            }
            opened => if_exists(opened),
        }
    }

    fn put(&mut self, frame: Frame<'_>) -> Result<()> {
        self.channel.queue(frame).map_err(broken)
    }
}

/// The name of the other end in messages.
const RECEIVER: &str = "the receiving side";

fn broken(cause: ConnectionError) -> Error {
    Error::connection(RECEIVER, cause)
}
