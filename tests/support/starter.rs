//! A starter of a batch system: it starts a job through run (or the wrapper alone), with real
//! sockets and descriptors. It is written from the contract, without the code under test.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// The time limit for every answer, far longer than a busy machine needs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A job that is being started.
pub struct Starter {
    pub child: Child,
    /// The starter's end of the first socket.
    pub socket: UnixStream,
}

impl Starter {
    /// Starts a command with one end of a socket pair as its descriptor 0.
    pub fn start(mut command: Command) -> Starter {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(TIMEOUT)).unwrap();
        ours.set_write_timeout(Some(TIMEOUT)).unwrap();
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
        drop(command); // it has a copy of the other end
        Starter { child, socket: ours }
    }

    /// Receives the wrapper's first word, which must be the right one.
    pub fn hello(&mut self) {
        assert!(self.is_greeted(), "the wrapper has not sent its first word");
    }

    /// Whether the wrapper's first word arrives, and is the right one.
    pub fn is_greeted(&mut self) -> bool {
        let mut word = [0; 4];
        self.socket.read_exact(&mut word).is_ok() && u32::from_ne_bytes(word) == 0xdead_beef
    }

    /// Sends the environment: its length, the text and a NUL.
    pub fn environment(&mut self, text: &[u8]) {
        let length = i32::try_from(text.len() + 1).unwrap();
        self.socket.write_all(&length.to_ne_bytes()).unwrap();
        self.socket.write_all(text).unwrap();
        self.socket.write_all(&[0]).unwrap();
    }

    /// Passes a descriptor with one zero byte.
    pub fn pass(&self, descriptor: impl AsFd) {
        self.pass_with(&[0], &[descriptor.as_fd().as_raw_fd()]);
    }

    /// Sends bytes with any number of descriptors.
    pub fn pass_with(&self, bytes: &[u8], descriptors: &[i32]) {
        let rights = [ControlMessage::ScmRights(descriptors)];
        let control: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &rights };
        let vector = [IoSlice::new(bytes)];
        sendmsg::<()>(self.socket.as_raw_fd(), &vector, control, MsgFlags::MSG_NOSIGNAL, None)
            .unwrap();
    }

    /// Passes a new socket for errors, and returns the starter's end of it.
    pub fn pass_error_socket(&self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(TIMEOUT)).unwrap();
        self.pass(theirs);
        ours
    }

    /// The whole conversation with three descriptors; returns what arrived on the error socket:
    /// nothing, if the job was executed.
    pub fn launch(&mut self, environment: &[u8], streams: [&dyn AsFd; 3]) -> Vec<u8> {
        self.hello();
        self.hand_over(environment, streams)
    }

    /// The same after the wrapper's first word.
    pub fn hand_over(&mut self, environment: &[u8], streams: [&dyn AsFd; 3]) -> Vec<u8> {
        self.environment(environment);
        for stream in streams {
            self.pass(stream.as_fd());
        }
        read_to_end(&mut self.pass_error_socket())
    }

    /// Waits for the end of the job.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Waits for the end of the job, and returns its status, or 128 and the number of the signal:
    /// the same whether the switcher stayed above the job, or became the job.
    pub fn status(&mut self) -> i32 {
        let ended = self.wait();
        ended.code().or(ended.signal().map(|signal| 128 + signal)).unwrap()
    }
}

/// Everything up to the end of file; a reset is an end.
pub fn read_to_end(socket: &mut UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    match socket.read_to_end(&mut all) {
        Ok(_) => all,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => all,
        Err(error) => panic!("no end of file: {error}"),
    }
}

/// An error message as the wrapper sends it: one string with its NUL, of at most 255 bytes.
pub fn message(bytes: &[u8]) -> String {
    assert!(bytes.len() <= 255, "{} bytes", bytes.len());
    let (last, text) = bytes.split_last().expect("a message, not an end of file");
    assert_eq!((*last, text.contains(&0)), (0, false), "one string: {bytes:?}");
    String::from_utf8_lossy(text).into_owned()
}
