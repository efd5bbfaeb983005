//! What a script prints, read by its keeper while the script runs.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};

/// The reading end of a pipe, and what was read from it.
#[derive(Debug)]
pub(crate) struct Output {
    /// None once it is at its end.
    reader: Option<File>,
    read: Vec<u8>,
    longest: usize,
    is_cut: bool,
}

impl Output {
    /// Keeps at most `longest` bytes. The pipe is non-blocking at this end.
    pub(crate) fn new(reader: File, longest: usize) -> Output {
        Output { reader: Some(reader), read: Vec::new(), longest, is_cut: false }
    }

    /// The pipe, as long as it is not at its end.
    pub(crate) fn open(&self) -> Option<BorrowedFd<'_>> {
        self.reader.as_ref().map(File::as_fd)
    }

    /// Reads once. The script never waits for room in the pipe: what is too long is dropped.
    pub(crate) fn read(&mut self) {
        let mut room = [0; 64 << 10];
        let Some(reader) = &mut self.reader else { return };
        match reader.read(&mut room) {
            Ok(0) => self.reader = None,
            Ok(length) => {
                let kept = length.min(self.longest - self.read.len());
                self.read.extend_from_slice(&room[..kept]);
                self.is_cut |= kept < length;
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted) => {}
            // Nothing more is there now, or it cannot be read.
            Err(_) => self.reader = None,
        }
    }

    /// Reads what is left after the script's end, which is at most what a pipe holds. Returns what
    /// was kept, and whether something was dropped.
    pub(crate) fn finish(mut self) -> (Vec<u8>, bool) {
        while self.reader.is_some() {
            self.read();
        }
        (self.read, self.is_cut)
    }
}
