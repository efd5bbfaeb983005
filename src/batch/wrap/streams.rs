//! The modes of the standard streams: a job can open its streams again by path (`/dev/stdout`).
//!
//! The files are the starter's. So for the time of the job other users may read its input and
//! write to its output; the scratch directory is closed to them.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use sys::{Kind, file, process};

/// Streams that are open to other users until this is dropped.
#[derive(Debug)]
pub struct Opened(Vec<(File, u32)>);

impl Opened {
    /// Opens those streams of this process that are files or pipes of its user.
    pub fn of_this_process() -> Opened {
        let (input, output, errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let streams: [(BorrowedFd<'_>, u32); 3] =
            [(input.as_fd(), 0o004), (output.as_fd(), 0o006), (errors.as_fd(), 0o006)];
        Opened(streams.into_iter().filter_map(|(stream, bits)| open(stream, bits)).collect())
    }
}

fn open(stream: BorrowedFd<'_>, bits: u32) -> Option<(File, u32)> {
    let found = file::stat(&stream).ok()?;
    if found.uid() != process::geteuid() || found.kind() != Kind::File {
        return None;
    }
    let file = File::from(stream.try_clone_to_owned().ok()?);
    file::set_mode(&file, found.mode() | bits).ok()?;
    Some((file, found.mode()))
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Output and error can be one file: its first mode is that from before.
        for (file, mode) in self.0.iter().rev() {
            let _ = file::set_mode(file, *mode);
        }
    }
}
