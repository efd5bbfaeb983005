//! Open files: metadata, holes, and shared content.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _};

use nix::sys::memfd::MFdFlags;
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;
use nix::unistd::Whence;

use super::{Errno, Result, Stat, Time};

/// Flags to open a file in a directory that other users may write to: a symbolic link is not
/// followed, and the open does not wait for the other end of a FIFO.
pub const NOFOLLOW_NONBLOCK: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// Flags to open a file that may be a FIFO: the open does not wait for the other end.
pub const NONBLOCK: i32 = libc::O_NONBLOCK;

/// stat(2) of an open file.
pub fn stat(file: &impl AsFd) -> Result<Stat> {
    nix::sys::stat::fstat(file).map(Stat::from)
}

/// A file in memory, without a name, that has this content and is read from its beginning
/// (memfd_create(2)).
pub fn in_memory(content: &[u8]) -> Result<File> {
    let made = nix::sys::memfd::memfd_create(c"content", MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(made);
    let written = file.write_all(content).and_then(|()| file.rewind());
    written.map(|()| file).map_err(|error| super::errno(&error))
}

/// Sets the permission bits of an open file.
pub fn set_mode(file: &File, mode: u32) -> Result<()> {
    nix::sys::stat::fchmod(file, Mode::from_bits_truncate(mode))
}

/// Sets when the content of an open file or directory last changed; the time of the last access
/// stays.
pub fn set_modified(file: &impl AsFd, time: Time) -> Result<()> {
    nix::sys::stat::futimens(file, &TimeSpec::UTIME_OMIT, &spec(time))
}

/// The start of the next data at or after `offset`; none if only a hole follows (SEEK_DATA,
/// lseek(2)).
pub fn next_data(file: &File, offset: u64) -> Result<Option<u64>> {
    seek(file, offset, Whence::SeekData)
}

/// The start of the next hole at or after `offset`; the end of the file counts as one (SEEK_HOLE,
/// lseek(2)).
pub fn next_hole(file: &File, offset: u64) -> Result<Option<u64>> {
    seek(file, offset, Whence::SeekHole)
}

/// Makes a new file share the content of another one; a write to either does not change the other
/// (FICLONE, ioctl_ficlone(2)). The standard library copies; nix has only macros for ioctl(2),
/// which make unsafe functions.
pub fn share_content(from: &File, to: &File) -> Result<()> {
    // SAFETY: both descriptors are open as long as they are borrowed; no memory is passed.
    Errno::result(unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE, from.as_raw_fd()) }).map(drop)
}

/// A time as nix's calls take it.
pub(super) fn spec(time: Time) -> TimeSpec {
    TimeSpec::new(time.seconds, i64::from(time.nanoseconds))
}

fn seek(file: &File, offset: u64, whence: Whence) -> Result<Option<u64>> {
    let offset = i64::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
    match nix::unistd::lseek(file, offset, whence) {
        Ok(found) => Ok(u64::try_from(found).ok()),
        Err(Errno::ENXIO) => Ok(None),
        Err(cause) => Err(cause),
    }
}
