//! Copying a large file's content from one open file to another.

use std::fs::File;
use std::io::{ErrorKind, Result};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use sys::{self, Errno, Stat, file};

/// A file at least this long is passed as a descriptor, and its content is shared with the copy
/// where the file system can. Shorter files cross faster as frames: sender and receiver work at the
/// same time.
pub(crate) const LARGE: u64 = 1 << 20;

/// How many bytes are read and written at once.
const PIECE: usize = 256 * 1024;

/// From this length on two threads are faster than one: one reads while the other writes.
const TWO_THREADS_FROM: u64 = 8 << 20;

/// Copies files within one file system.
#[derive(Debug, Default)]
pub(crate) struct Copier {
    /// The file system can't share content between files.
    cannot_share: bool,
}

impl Copier {
    /// Copies the first `size` bytes of `from` to the new file `to`, which is that long afterwards:
    /// holes as holes. If the file has become shorter, what is missing is a hole, too. `heartbeat`
    /// is called from time to time with the number of bytes copied since the last call; its error
    /// ends the copy.
    pub(crate) fn copy(
        &mut self,
        from: &File,
        to: &File,
        size: u64,
        mut heartbeat: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        // No file is longer; the arithmetic below relies on that.
        if i64::try_from(size).is_err() {
            return Err(Errno::EFBIG.into());
        }
        if !self.cannot_share && self.share(from, to)? {
            heartbeat(size)?;
        } else {
            let stat = file::stat(from)?;
            let mut reached = 0;
            while let Some(range) = next_data(from, &stat, reached..size)? {
                reached = range.end;
                copy_range(from, to, range, &mut heartbeat)?;
            }
        }
        // Content that is shared may be longer, if another process has written to the file since.
        if file::stat(to)?.size() != size {
            to.set_len(size)?;
        }
        Ok(())
    }

    /// Shares the content of a file with the new one; false if that can't be done. Where no file
    /// of this file system can, it is not tried again.
    fn share(&mut self, from: &File, to: &File) -> Result<bool> {
        match file::share_content(from, to) {
            Ok(()) => Ok(true),
            // No file of this file system.
            Err(Errno::ENOTTY | Errno::EOPNOTSUPP | Errno::EXDEV | Errno::ENOSYS) => {
                self.cannot_share = true;
                Ok(false)
            }
            // Not this file.
            Err(Errno::EINVAL | Errno::ETXTBSY | Errno::EPERM) => Ok(false),
            Err(cause) => Err(cause.into()),
        }
    }
}

/// The first data in a range of a file, as far as its file system tells data from holes; None if
/// the range is one hole.
pub(crate) fn next_data(
    from: &File,
    stat: &Stat,
    range: Range<u64>,
) -> sys::Result<Option<Range<u64>>> {
    if !stat.may_have_holes() {
        return Ok(Some(range).filter(|range| !range.is_empty()));
    }
    let Some(start) = file::next_data(from, range.start)?.filter(|start| range.contains(start))
    else {
        return Ok(None);
    };
    let end = file::next_hole(from, start)?.unwrap_or(range.end).min(range.end);
    Ok(Some(start..end).filter(|data| !data.is_empty()))
}

/// Copies a range, with a second thread if the range is long and a thread can be started.
fn copy_range(
    from: &File,
    to: &File,
    range: Range<u64>,
    mut heartbeat: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let next = AtomicU64::new(range.start);
    let copy_rest = |heartbeat: &mut dyn FnMut(u64) -> Result<()>| {
        let mut room = vec![0; PIECE];
        let copied = loop {
            match copy_piece(from, to, &next, range.end, &mut room)
                .and_then(|length| heartbeat(length).map(|()| length))
            {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        // A thread that ends, for whatever reason, ends the other one with its current piece.
        next.fetch_max(range.end, Ordering::Relaxed);
        copied
    };
    std::thread::scope(|scope| {
        let two = range.end - range.start >= TWO_THREADS_FROM;
        // If the second thread can't be started, the first one copies everything.
        let other = two.then(|| {
            std::thread::Builder::new().spawn_scoped(scope, || copy_rest(&mut |_| Ok(())))
        });
        let mut before = range.start;
        let first = copy_rest(&mut |_| {
            let reached = next.load(Ordering::Relaxed).min(range.end);
            heartbeat(reached - std::mem::replace(&mut before, reached))
        });
        match other {
            Some(Ok(other)) => {
                first.and(other.join().unwrap_or_else(|_| Err(ErrorKind::Other.into())))
            }
            Some(Err(_)) | None => first,
        }
    })
}

/// Copies the next piece. Returns its length: 0 at the end of the range or of the file.
fn copy_piece(from: &File, to: &File, next: &AtomicU64, end: u64, room: &mut [u8]) -> Result<u64> {
    let start = next.fetch_add(room.len() as u64, Ordering::Relaxed);
    let mut length = room.len().min(usize::try_from(end.saturating_sub(start)).unwrap_or(0));
    let mut done = 0;
    while done < length {
        let read = from.read_at(&mut room[..length - done], start + done as u64)?;
        if read == 0 {
            length = done;
            break;
        }
        to.write_all_at(&room[..read], start + done as u64)?;
        done += read;
    }
    Ok(length as u64)
}
