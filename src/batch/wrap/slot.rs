//! The directory of a slot, which has the sandbox of the slot's job, and a note that names the job.
//!
//! ```text
//! <directory>            0711
//!   .notes               0700: no other user can put anything in the place of a note
//!     <slot>             the scratch directory of the job; locked while its wrapper lives
//!     <slot>.streams     the streams of the job that its user may open by path
//!   <slot>               1777: an agent makes its copy of the sandbox here
//!     work               the sandbox
//!     work.condor        the retained directory: the switcher's credential
//! ```
//!
//! Without a note there is no sandbox: it is written before the sandbox is made, and emptied after
//! that has been removed.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::{Context as _, Error, Result, Shown};
use sys::flock::{self, Lock};
use sys::{Dir, Errno, Kind, Name, OwnedName, Rename, Stat, file, process};

use super::ad;
use super::scratch::Scratch;
use crate::batch::sandbox::{Found, Retained, Sandbox};

const NOTES: &str = ".notes";
const SANDBOX: &str = "work";

/// How long to wait for the lock: a child of a wrapper that was killed holds it until it executes
/// its program.
const LIMIT: Duration = Duration::from_millis(500);

/// The longest note in bytes.
const MAX_NOTE: u64 = 64 * 1024;

/// A slot's directory.
#[derive(Debug)]
pub struct Slot {
    /// Its path.
    pub path: PathBuf,
    notes: Dir,
    note: File,
    /// The name of the record of the streams, in the directory of the notes.
    streams: OwnedName,
}

/// A slot's directory whose lock is asked for.
#[derive(Debug)]
pub enum Locked {
    /// This process has it now.
    Here(Slot),
    /// Another process has it; its note.
    Elsewhere(Vec<u8>),
}

impl Slot {
    /// Makes the directory of this slot, if there is none, and locks it.
    pub fn lock(directory: &Path, slot: &str) -> Result<Locked> {
        make_top(directory)?;
        make_directory(&directory.join(NOTES), 0o700)?;
        let path = directory.join(slot);
        make_directory(&path, 0o1777)?;
        Slot::lock_existing(path, true)
    }

    /// Locks a slot's directory that exists. Without a note it is an error, unless one is to be
    /// made.
    pub fn lock_existing(path: PathBuf, makes_note: bool) -> Result<Locked> {
        let refused = || Error::refused(&path, "this is not the directory of a slot");
        let (directory, name) = path.parent().zip(path.file_name()).ok_or_else(refused)?;
        let name = OwnedName::new(name.as_bytes().to_vec()).ok_or_else(refused)?;
        let notes = directory.join(NOTES);
        let place = notes.join(name.name().os());
        let dir = Dir::open(directory).at("open the directory", directory)?;
        let dir = open_notes(&dir).at("open the directory", &notes)?;
        require_own(&dir.stat_self().at("examine", &notes)?, &notes)?;
        let note = dir.open_to_write(name.name(), makes_note);
        let note = note.at("open the note of the slot", &place)?;
        let found = file::stat(&note).at("examine the note of the slot", &place)?;
        require_own(&found, &place)?;
        if found.kind() != Kind::File {
            return Err(Error::refused(&place, "it is no file: remove it"));
        }
        let streams = [name.name().bytes(), b".streams"].concat();
        let streams = OwnedName::new(streams).ok_or_else(refused)?;
        let slot = Slot { path, notes: dir, note, streams };
        match flock::lock(&slot.note, Lock::Exclusive, LIMIT) {
            Err(Errno::EAGAIN) => Ok(Locked::Elsewhere(slot.note()?)),
            locked => locked.at("lock the note of the slot", place).map(|()| Locked::Here(slot)),
        }
    }

    /// The note; empty if the slot has no job.
    pub fn note(&self) -> Result<Vec<u8>> {
        let mut file = self.note.try_clone().at("read the note of the slot", &self.path)?;
        let mut text = Vec::new();
        file.rewind().at("read the note of the slot", &self.path)?;
        let read = file.take(MAX_NOTE).read_to_end(&mut text);
        read.at("read the note of the slot", &self.path).map(|_| text)
    }

    /// Writes the note.
    pub fn set_note(&mut self, note: &[u8]) -> Result<()> {
        let written = self.note.set_len(0).and_then(|()| {
            self.note.rewind()?;
            self.note.write_all(note)
        });
        written.at("write the note of the slot", &self.path)
    }

    /// The record of the streams; empty if there is none.
    pub fn streams(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let file = match self.notes.open_file(self.streams.name()) {
            Err(Errno::ENOENT) => return Ok(text),
            opened => opened.at("open the record of the streams of", &self.path)?,
        };
        let read = file.take(MAX_NOTE).read_to_end(&mut text);
        read.at("read the record of the streams of", &self.path).map(|_| text)
    }

    /// Writes that record; an empty one is removed.
    pub fn set_streams(&self, record: &[u8]) -> Result<()> {
        match self.notes.remove_file(self.streams.name()) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(cause) => {
                return Err(cause).at("remove the record of the streams of", &self.path);
            }
        }
        match record {
            [] => Ok(()),
            _ => tree::create(&self.notes, &self.path, self.streams.name(), record),
        }
    }

    /// Removes what has the names of a sandbox although the slot has no job, or gives it another
    /// name: every user can make entries here, and only this user can rename those of others.
    pub fn set_foreign_aside(&self) -> Result<()> {
        for taken in [SANDBOX.to_owned(), format!("{SANDBOX}.condor")] {
            self.set_aside(&taken)?;
        }
        Ok(())
    }

    /// The same while the slot has a job: what is the job's stays.
    pub fn set_squatters_aside(&self, sandbox: &Sandbox) -> Result<()> {
        if has_foreign_retained(sandbox) {
            self.set_aside(&format!("{SANDBOX}.condor"))?;
        }
        if is_there(sandbox)? { Ok(()) } else { self.set_aside(SANDBOX) }
    }

    fn set_aside(&self, taken: &str) -> Result<()> {
        let dir = Dir::open(&self.path).at("open the slot", &self.path)?;
        let aside = format!("foreign.{:08x}", fastrand::u32(..));
        let names = (Name::new(taken.as_bytes()), Name::new(aside.as_bytes()));
        let (Some(name), Some(aside)) = names else { return Ok(()) };
        match dir.rename(name, aside, Rename::NoReplace) {
            Err(Errno::ENOENT) => {}
            renamed => {
                renamed.at("set aside", self.path.join(taken))?;
                let _ = tree::remove(&dir, aside, &self.path);
            }
        }
        Ok(())
    }

    /// The path of the sandbox.
    pub fn sandbox(&self) -> PathBuf {
        self.path.join(SANDBOX)
    }
}

/// Whether a sandbox is there, and not what another user has made under its name: while another
/// user has it, its retained directory is there.
pub fn is_there(sandbox: &Sandbox) -> Result<bool> {
    Ok(match sandbox.found()? {
        Found::Nothing => false,
        Found::Mine | Found::Placeholder => true,
        Found::Theirs(_) | Found::Other(_) if has_foreign_retained(sandbox) => {
            !sandbox.marked_aside().is_empty()
        }
        Found::Theirs(_) | Found::Other(_) => sandbox.retained()? != Retained::Absent,
    })
}

/// Whether what has the name of the retained directory is another user's, or no directory.
fn has_foreign_retained(sandbox: &Sandbox) -> bool {
    let found = sandbox.place.parent.stat(sandbox.retained_name());
    found.is_ok_and(|found| found.kind() != Kind::Directory || found.uid() != process::geteuid())
}

/// What the note says of this job: two jobs never have the same.
pub fn note_of(scratch: &Scratch) -> Result<Vec<u8>> {
    let (device, inode) = scratch.identity()?;
    let ad = scratch.read(ad::JOB_AD).unwrap_or_default();
    let job = ad::string(&ad, "GlobalJobId").unwrap_or_default();
    let start = format!("{device:x} {inode:x} {job}\n");
    Ok([start.as_bytes(), scratch.path.as_os_str().as_bytes(), b"\n"].concat())
}

/// Whether the scratch directory of a note is still there.
pub fn has_scratch(note: &[u8]) -> bool {
    let mut lines = note.splitn(2, |byte| *byte == b'\n');
    let numbers = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let mut numbers = numbers.split(' ').map(|word| u64::from_str_radix(word, 16).ok());
    let identity = (numbers.next().flatten(), numbers.next().flatten());
    let path = lines.next().and_then(|line| line.strip_suffix(b"\n")).unwrap_or_default();
    let found = sys::dir::lstat(Path::new(std::ffi::OsStr::from_bytes(path)));
    found.is_ok_and(|found| {
        let (device, inode) = found.identity();
        identity == (Some(device), Some(inode))
    })
}

/// The name of a slot: the first part of the machine's name in its ad (`slot1_1@host`), or else of
/// the variable `_CONDOR_SLOT`.
pub fn name_of(scratch: &Scratch, variable: Option<&std::ffi::OsStr>) -> Result<String> {
    let ad = scratch.read(ad::MACHINE_AD).unwrap_or_default();
    let variable = variable.and_then(std::ffi::OsStr::to_str);
    let name = ad::string(&ad, "Name").or(variable);
    let name = name.and_then(|name| name.split('@').next()).unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
        let why = "neither .machine.ad (Name) nor the variable _CONDOR_SLOT names the slot: this \
                   program must be called by a starter of HTCondor";
        return Err(Error::refused(&scratch.path, why));
    }
    Ok(name.to_owned())
}

/// Makes the directory of the slot directories, where no other user can replace it.
pub(super) fn make_top(directory: &Path) -> Result<()> {
    if let Some(above) = directory.parent() {
        let found = std::fs::metadata(above).at("examine", above)?;
        if found.mode() & 0o1002 == 0o002 {
            let why = format!(
                "every user can rename the directories in {}, and replace this one: chmod o-w, or \
                 set 'directory'",
                Shown::os(above)
            );
            return Err(Error::refused(directory, why));
        }
    }
    make_directory(directory, 0o711)
}

/// Refuses what another user has made under a name of ours.
fn require_own(found: &Stat, path: &Path) -> Result<()> {
    if found.uid() == process::geteuid() {
        return Ok(());
    }
    let why = format!("it belongs to uid {}, not to you: remove it", found.uid());
    Err(Error::refused(path, why))
}

/// Makes a directory of this user with this mode, unless it exists. Its mode is set again: the
/// umask does not count, and an administrator may have made it.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::refused(path, "it must be the path of a directory below another"));
    };
    let name = OwnedName::new(name.as_bytes().to_vec())
        .ok_or_else(|| Error::refused(path, "this is not the name of a directory"))?;
    let above = Dir::open(parent).at("open the directory", parent)?;
    let dir = match open_or_make(&above, name.name()) {
        // A file system of its own, which no other user can have put there.
        Err(Errno::EXDEV) => Dir::open(path),
        opened => opened,
    };
    let dir = dir.at("make the directory", path)?;
    let found = dir.stat_self().at("examine", path)?;
    require_own(&found, path)?;
    if found.mode() != mode {
        dir.set_mode(mode).at("set the mode of", path)?;
    }
    Ok(())
}

fn open_notes(directory: &Dir) -> sys::Result<Dir> {
    Name::new(NOTES.as_bytes()).map_or(Err(Errno::EINVAL), |name| directory.open_dir(name))
}

fn open_or_make(above: &Dir, name: Name<'_>) -> sys::Result<Dir> {
    match above.create_dir(name) {
        Err(Errno::EEXIST) => above.open_dir(name),
        made => made,
    }
}
