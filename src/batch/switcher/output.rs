//! What a call of the switcher writes to its standard output and error.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use error::{Context as _, Result, Shown};
use sys::fd;

/// At most this many bytes of the output become part of a message.
const MAX_LENGTH: usize = 1000;

/// The reading end of a pipe that a call writes to. If the pipe is full, further bytes are lost:
/// the call does not wait for a reader.
#[derive(Debug)]
pub(super) struct Output(File);

impl Output {
    /// Makes the pipe for a call of `program`. Returns also its writing end, once for standard
    /// output and once for standard error.
    pub(super) fn pipe(program: &Path) -> Result<(Output, [OwnedFd; 2])> {
        let (reader, writer) = fd::nonblocking_pipe().at("make a pipe for", program)?;
        let again: OwnedFd = writer.try_clone().at("make a pipe for", program)?;
        Ok((Output(reader), [writer, again]))
    }

    /// The bytes that are in the pipe now, as one line. A process that outlives the call may still
    /// hold the writing end, so this does not wait for the end of the pipe.
    pub(super) fn read(&mut self) -> String {
        let mut bytes = [0; MAX_LENGTH];
        let mut length = 0;
        while let Ok(more @ 1..) = self.0.read(&mut bytes[length..]) {
            length += more;
        }
        one_line(&bytes[..length])
    }
}

fn one_line(bytes: &[u8]) -> String {
    let lines =
        bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.map(|line| Shown(line).to_string()).collect::<Vec<_>>().join("; ")
}
