//! The rights to the standard streams: a job can open its streams again by path (`/dev/stdout`).
//!
//! The files are the starter's. So for the time of the job its user, and no other, may read its
//! input and write to its output. A record of that is beside the slot's note while it lasts: if the
//! wrapper is killed, the next one, or a sweep, ends it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use error::Result;
use sys::{Kind, Uid, file, process};

use super::access_list;
use super::slot::Slot;
use crate::batch::sandbox::{Found, Sandbox};

/// Streams to which a job's user has rights.
#[derive(Debug)]
pub struct Opened<'a> {
    slot: &'a Slot,
    files: Vec<(File, Uid)>,
}

impl<'a> Opened<'a> {
    /// Gives the user who has this sandbox the rights to those streams of this process that are
    /// files of its user. Where that fails, the job cannot open that stream by path.
    pub fn to_owner_of(sandbox: &Sandbox, slot: &'a Slot) -> Opened<'a> {
        let mut opened = Opened { slot, files: Vec::new() };
        let Ok(Found::Theirs(user)) = sandbox.found() else { return opened };
        let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        // Input and output can be one file.
        let streams: [(BorrowedFd<'_>, u16); 3] =
            [(output.as_fd(), 6), (errors.as_fd(), 6), (input.as_fd(), 4)];
        let files = streams.map(|(stream, bits)| own_file(stream).map(|file| (file, bits)));
        let record: Vec<u8> =
            files.iter().flatten().filter_map(|(file, _)| line(file, user)).flatten().collect();
        if slot.set_streams(&record).is_err() {
            return opened;
        }
        for (file, bits) in files.into_iter().flatten() {
            if access_list::allow(&file, user, bits).is_ok() {
                opened.files.push((file, user));
            }
        }
        opened
    }

    /// Ends these rights. What fails is still in the record.
    pub fn close(self) {
        let ended: Vec<_> =
            self.files.iter().map(|(file, user)| access_list::end(file, *user)).collect();
        if ended.iter().all(std::result::Result::is_ok) {
            let _ = self.slot.set_streams(b"");
        }
    }
}

/// Ends what a wrapper that was killed has given.
pub fn end_recorded(slot: &Slot) -> Result<()> {
    let record = slot.streams()?;
    if record.is_empty() {
        return Ok(());
    }
    for line in record.split(|byte| *byte == 0) {
        // A file that is gone, or is another one now, gives no rights.
        if let Some((file, user)) = recorded(line) {
            let _ = access_list::end(&file, user);
        }
    }
    slot.set_streams(b"")
}

/// A stream that is a file of this user.
fn own_file(stream: BorrowedFd<'_>) -> Option<File> {
    let found = file::stat(&stream).ok()?;
    let is_own = found.uid() == process::geteuid() && found.kind() == Kind::File;
    is_own.then(|| stream.try_clone_to_owned().ok()).flatten().map(File::from)
}

/// The record of one file: device, inode, user and path, with a NUL at the end.
fn line(file: &File, user: Uid) -> Option<Vec<u8>> {
    let (device, inode) = file::stat(file).ok()?.identity();
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    let start = format!("{device:x} {inode:x} {} ", user.as_raw());
    Some([start.as_bytes(), path.as_os_str().as_bytes(), b"\0"].concat())
}

/// The file of a line, and the user that it names; none if the path leads to another file now.
fn recorded(line: &[u8]) -> Option<(File, Uid)> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let mut number = |radix| {
        let word = std::str::from_utf8(words.next()?).ok()?;
        u64::from_str_radix(word, radix).ok()
    };
    let (device, inode, user) = (number(16)?, number(16)?, number(10)?);
    let path = Path::new(OsStr::from_bytes(words.next()?));
    let mut options = File::options();
    let file = options.read(true).custom_flags(file::NOFOLLOW_NONBLOCK).open(path).ok()?;
    let is_same = file::stat(&file).is_ok_and(|found| found.identity() == (device, inode));
    Some((file, Uid::from_raw(u32::try_from(user).ok()?))).filter(|_| is_same)
}
