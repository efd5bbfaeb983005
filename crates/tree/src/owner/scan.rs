//! Reading a tree before its owner changes.

use std::ffi::OsStr;

use error::{Context as _, Error, Result, Shown};
use sys::{Dir, Errno, Kind, Name, owner, xattr};
use wire::Totals;

use super::{Direction, Ids, check_hard_links, foreign};
use crate::attributes::{self, is_dropped};
use crate::names::Names;
use crate::refuse_mount_point;
use crate::two_threads::{self, MANY_ENTRIES, Part, Shared};
use crate::walk::Walk;

/// What a tree has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Its entries; `bytes` are those of its files.
    pub totals: Totals,
    /// How many entries its top has.
    pub top_entries: u64,
    /// How many of its files group or others may write to. [`take`](super::take()) copies each of
    /// them, which takes longer than to copy the tree if they are many.
    pub writable_files: u64,
    /// Devices, sockets and FIFOs.
    pub specials: u64,
}

impl Scan {
    /// Adds what another part of the tree has.
    fn add(&mut self, other: Scan) {
        self.totals.directories += other.totals.directories;
        self.totals.files += other.totals.files;
        self.totals.symlinks += other.totals.symlinks;
        self.totals.bytes = self.totals.bytes.saturating_add(other.totals.bytes);
        self.top_entries += other.top_entries;
        self.writable_files += other.writable_files;
        self.specials += other.specials;
    }
}

/// Reads the tree below `top`, shown as `path`, and changes nothing. A tree that has to be copied
/// is an [`Error::Refused`], which names the first entry that is the reason:
///
/// - an entry of a third user or group, or one that can't be changed (`chattr +i`);
/// - a mount point, and a tree that is too deep;
/// - a directory below the top that group or others may write to: a process that has it open could
///   change what is in it later. Taken back, that is true of the top as well;
/// - to be given, what [`undo`](super::undo) would not restore: set-user-ID, set-group-ID and
///   sticky bits below the top, access control lists and other attributes that are not the user's,
///   devices, sockets and FIFOs, names outside of the tree.
///
/// `heartbeat` is called for each entry.
pub fn scan(
    top: Dir,
    path: &OsStr,
    ids: &Ids,
    direction: Direction,
    heartbeat: &mut dyn FnMut(),
) -> Result<Scan> {
    check_hard_links(path)?;
    let stat = top.stat_self().at("examine", path)?;
    if !ids.include(&stat) {
        return Err(foreign(path.to_os_string()));
    }
    if direction == Direction::Take && stat.mode() & 0o022 != 0 {
        return Err(writable(path));
    }
    if direction == Direction::Give {
        let mut names = Vec::new();
        xattr::list(&top, &mut names).at("list the attributes of", path)?;
        check_attributes(&names, path)?;
    }
    let many = stat.size() >= MANY_ENTRIES;
    let mut scanner = Scanner::new(ids, direction, heartbeat);
    let (shared, two) = if many {
        (Shared::unread(), true)
    } else {
        let again = top.try_clone().at("open", path)?;
        let subdirectories = scanner.directory(&Walk::new(again, path), Part::All)?;
        let two = subdirectories.len() > 1;
        (Shared::of(subdirectories), two)
    };
    let (first, second) =
        two_threads::run(&shared, two, &mut *scanner.heartbeat, |part, heartbeat| {
            let mut scanner = Scanner::new(ids, direction, heartbeat);
            let mut walk = Walk::new(top.reopen().at("open", path)?, path);
            if many {
                shared.add(scanner.directory(&walk, part)?);
            }
            let in_top = scanner.entries();
            while let Some(name) = shared.next(&mut *scanner.heartbeat) {
                scanner.subtree(&mut walk, name.name())?;
            }
            scanner.scan.top_entries = in_top;
            Ok((scanner.scan, scanner.linked))
        })?;
    scanner.scan.top_entries = scanner.entries();
    let (mut scan, mut linked) = (scanner.scan, scanner.linked);
    for (more, more_linked) in std::iter::once(first).chain(second) {
        scan.add(more);
        linked.extend(more_linked);
    }
    check_names(linked, path)?;
    Ok(scan)
}

/// An error if a file has names outside of the tree. `linked` has an entry for each name of a file
/// with several: its inode, and how many names it has.
fn check_names(mut linked: Vec<(u64, u64)>, path: &OsStr) -> Result<()> {
    linked.sort_unstable();
    let mut files = linked.chunk_by(|one, other| one.0 == other.0);
    if files.all(|names| names.len() as u64 == names[0].1) {
        return Ok(());
    }
    Err(Error::refused(path, "a file in it has hard links outside of it"))
}

struct Scanner<'a> {
    ids: &'a Ids,
    direction: Direction,
    heartbeat: &'a mut dyn FnMut(),
    scan: Scan,
    /// For each name of a file with several: its inode, and how many names it has.
    linked: Vec<(u64, u64)>,
    /// A buffer for the names of attributes.
    names: Vec<u8>,
}

impl<'a> Scanner<'a> {
    fn new(ids: &'a Ids, direction: Direction, heartbeat: &'a mut dyn FnMut()) -> Self {
        Scanner {
            ids,
            direction,
            heartbeat,
            scan: Scan::default(),
            linked: Vec::new(),
            names: Vec::new(),
        }
    }

    /// How many entries were read.
    fn entries(&self) -> u64 {
        let totals = &self.scan.totals;
        totals.directories + totals.files + totals.symlinks + self.scan.specials
    }

    /// Reads a subdirectory of the current directory, and everything below it.
    fn subtree(&mut self, walk: &mut Walk, name: Name<'_>) -> Result<()> {
        let mut pending = vec![self.enter(walk, name)?];
        while let Some(subdirectories) = pending.last_mut() {
            if let Some(name) = subdirectories.last() {
                let below = self.enter(walk, name)?;
                subdirectories.pop();
                pending.push(below);
            } else {
                pending.pop();
                walk.leave()?;
            }
        }
        Ok(())
    }

    /// Enters a subdirectory, and reads it as [`Scanner::directory`].
    fn enter(&mut self, walk: &mut Walk, name: Name<'_>) -> Result<Names> {
        walk.check_depth()?;
        let opened = walk.current()?.open_dir(name);
        let dir = refuse_mount_point(opened, || walk.path_of(name))?;
        walk.enter(name, dir)?;
        self.directory(walk, Part::All)
    }

    /// Reads a part of the current directory. Returns the subdirectories in it.
    fn directory(&mut self, walk: &Walk, part: Part) -> Result<Names> {
        let here = walk.current()?;
        let mut subdirectories = Names::default();
        let listed = here.for_each_entry(|name, _| {
            if !part.has(name) {
                return Ok(());
            }
            (self.heartbeat)();
            if self.entry(walk, here, name)? == Some(Kind::Directory) {
                subdirectories.push(name);
            }
            Ok(())
        });
        listed.at("read the directory", walk.path())?.map(|()| subdirectories)
    }

    /// Examines an entry. None if it does not exist any more.
    fn entry(&mut self, walk: &Walk, here: &Dir, name: Name<'_>) -> Result<Option<Kind>> {
        let entry = match owner::examine(here, name) {
            Err(Errno::ENOENT) => return Ok(None),
            entry => refuse_mount_point(entry, || walk.path_of(name))?,
        };
        let (stat, path) = (entry.stat, || walk.path_of(name));
        if !self.ids.include(&stat) {
            return Err(foreign(path()));
        }
        if entry.immutable {
            return Err(Error::refused(
                path(),
                "it is immutable: only root can change it (chattr)",
            ));
        }
        match stat.kind() {
            Kind::Directory if stat.mode() & 0o022 != 0 => return Err(writable(&path())),
            Kind::Directory => self.scan.totals.directories += 1,
            Kind::Symlink => self.scan.totals.symlinks += 1,
            Kind::File => {
                self.scan.writable_files += u64::from(stat.mode() & 0o022 != 0);
                self.scan.totals.files += 1;
                self.scan.totals.bytes = self.scan.totals.bytes.saturating_add(stat.size());
            }
            Kind::Special if self.direction == Direction::Give => {
                return Err(Error::refused(path(), "it is a device, a socket or a FIFO"));
            }
            Kind::Special => self.scan.specials += 1,
        }
        if self.direction == Direction::Give {
            if stat.mode() & 0o7000 != 0 && stat.kind() != Kind::Symlink {
                let why = "it is set-user-ID, set-group-ID or sticky";
                return Err(Error::refused(path(), why));
            }
            self.attributes(walk, here, name)?;
            if stat.kind() != Kind::Directory && stat.nlink() > 1 {
                self.linked.push((stat.identity().1, stat.nlink()));
            }
        }
        Ok(Some(stat.kind()))
    }

    /// An error if an entry has an attribute that a copy would not have.
    fn attributes(&mut self, walk: &Walk, here: &Dir, name: Name<'_>) -> Result<()> {
        owner::attributes_at(here, name, &mut self.names)
            .at_entry("list the attributes of", || walk.path_of(name))?;
        check_attributes(&self.names, &walk.path_of(name))
    }
}

/// An error if one of these attributes is one that a copy would not have.
fn check_attributes(listed: &[u8], path: &OsStr) -> Result<()> {
    match attributes::names(listed).find(|name| is_dropped(name)) {
        Some(dropped) => {
            let why = format!("it has the attribute {}", Shown(dropped.to_bytes()));
            Err(Error::refused(path, why))
        }
        None => Ok(()),
    }
}

fn writable(path: &OsStr) -> Error {
    Error::refused(path, "group or others may write to this directory")
}
