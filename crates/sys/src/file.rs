//! Open files: what they are, where they have holes, and how their content is shared.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;
use nix::unistd::Whence;

use super::{Errno, Result, Stat, Time};

/// Flags to open a file with whose name somebody else may have chosen: a link in its place is not
/// followed, a FIFO not waited for.
pub const NO_LINK_NO_WAIT: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// Flags to open a file that may be a FIFO: it is not waited for.
pub const NO_WAIT: i32 = libc::O_NONBLOCK;

/// stat(2) of an open file.
pub fn stat(file: &impl AsFd) -> Result<Stat> {
    nix::sys::stat::fstat(file).map(Stat)
}

/// Sets the permission bits of an open file.
pub fn set_mode(file: &File, mode: u32) -> Result<()> {
    nix::sys::stat::fchmod(file, Mode::from_bits_truncate(mode))
}

/// Sets when the content of an open file or directory last changed; when it was read stays as it
/// is.
pub fn set_modified(file: &impl AsFd, time: Time) -> Result<()> {
    nix::sys::stat::futimens(file, &TimeSpec::UTIME_OMIT, &spec(time))
}

/// The start of the next data at or after `offset`, or none up to the end of the file (lseek(2),
/// SEEK_DATA).
pub fn next_data(file: &File, offset: u64) -> Result<Option<u64>> {
    seek(file, offset, Whence::SeekData)
}

/// The start of the next hole at or after `offset`: at the latest the end of the file (lseek(2),
/// SEEK_HOLE).
pub fn next_hole(file: &File, offset: u64) -> Result<Option<u64>> {
    seek(file, offset, Whence::SeekHole)
}

/// Lets a new file share the whole content of another one, until either is written to (FICLONE,
/// ioctl_ficlone(2)).
pub fn share_content(from: &File, to: &File) -> Result<()> {
    // SAFETY: the argument is a descriptor, which stays open during the call; no memory is passed.
    Errno::result(unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE, from.as_raw_fd()) }).map(drop)
}

/// A time as the kernel takes it.
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
