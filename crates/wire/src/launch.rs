//! The messages by which the starter and the job wrapper start a job, over the stream socket on the
//! wrapper's descriptor 0.
//!
//! Integers are native-endian and have 4 bytes.
//!
//! 1. The wrapper sends `HELLO`, 0xdeadbeef: the switcher worked.
//! 2. The starter sends a signed length above 0, and then that many bytes: the job's environment
//!    and a final NUL.
//! 3. For each standard stream that the starter passes, it sends one zero byte with a descriptor.
//! 4. The starter sends one zero byte with a new socket. The wrapper reports errors on it from then
//!    on. Its end of file means that the job was executed.
//!
//! Descriptors are attached to bytes, so each step reads exactly its own bytes.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::socket::Sender;
use sys::{Errno, socket};

/// The wrapper's first message.
const HELLO: u32 = 0xdead_beef;

/// The longest error message in bytes, with its final NUL.
const MAX_MESSAGE: usize = 255;

/// The longest environment in bytes. No kernel accepts a longer one (a quarter of the stack limit,
/// execve(2)).
const MAX_ENVIRONMENT: usize = 64 << 20;

/// How long the wrapper waits for the new socket after a failure.
const ERROR_SOCKET_TIMEOUT: Duration = Duration::from_secs(30);

/// The variable in the environment of step 2 that names the job's working directory, if that is not
/// the sandbox. The job does not get it.
const WORKING_DIRECTORY: &[u8] = b"_GLEXEC_HELPERS_CWD=";

/// The entry of the environment that asks for a working directory.
pub fn working_directory(path: &Path) -> Vec<u8> {
    [WORKING_DIRECTORY, path.as_os_str().as_bytes()].concat()
}

/// Removes all such entries from an environment; returns the path of the last one.
pub fn take_working_directory(environment: &mut Vec<Vec<u8>>) -> Option<PathBuf> {
    let mut found = None;
    environment.retain(|entry| match entry.strip_prefix(WORKING_DIRECTORY) {
        Some(path) => {
            found = Some(PathBuf::from(OsStr::from_bytes(path)));
            false
        }
        None => true,
    });
    found
}

/// The entry in the environment of step 2 by which the job gets no variable of gLExec's
/// (`GLEXEC_*`) from the switcher.
const WITHOUT_GLEXEC: &[u8] = b"_GLEXEC_HELPERS_NO_GLEXEC=";

/// The entry of the environment that asks for a job without variables of gLExec's.
pub fn without_variables_of_glexec() -> Vec<u8> {
    WITHOUT_GLEXEC.to_vec()
}

/// Removes all such entries from an environment; returns whether there was one.
pub fn take_without_variables_of_glexec(environment: &mut Vec<Vec<u8>>) -> bool {
    let count = environment.len();
    environment.retain(|entry| !entry.starts_with(WITHOUT_GLEXEC));
    environment.len() < count
}

/// Why the wrapper could not receive what the starter sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StarterError {
    /// Descriptor 0 is not the starter's socket.
    NotASocket,
    /// The starter closed its end before it sent this.
    Closed(&'static str),
    /// The length of the environment is out of bounds.
    BadLength(i32),
    /// The environment does not end with a NUL, or has another one inside.
    NotAString,
    /// The message for this is not a zero byte with exactly one descriptor.
    NoDescriptor(&'static str),
    /// A system call failed while this was received.
    System(&'static str, Errno),
}

impl fmt::Display for StarterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StarterError::NotASocket => f.write_str(
                "descriptor 0 is not the starter's socket: condor_glexec_run was not started with \
                 one, or the switcher does not pass it on (sudo: the rule needs !use_pty, and no \
                 log_input)",
            ),
            StarterError::Closed(missing) => {
                write!(f, "the starter closed the connection before it sent {missing}")
            }
            StarterError::BadLength(length) => {
                write!(f, "the starter announced an environment of {length} bytes")
            }
            StarterError::NotAString => f.write_str(
                "the environment from the starter is not one string that ends with a NUL",
            ),
            StarterError::NoDescriptor(expected) => write!(
                f,
                "the starter sent a message without exactly one descriptor for {expected}"
            ),
            StarterError::System(expected, cause) => {
                write!(f, "cannot receive {expected} from the starter: {cause}")
            }
        }
    }
}

impl std::error::Error for StarterError {}

/// The starter, at the other end of the wrapper's socket.
#[derive(Debug)]
pub struct Starter {
    socket: OwnedFd,
    /// How many descriptors the starter still has to send, the new socket included.
    awaited: usize,
}

impl Starter {
    /// Sends the first message. The starter then passes `streams` descriptors and the new socket.
    pub fn greet(socket: OwnedFd, streams: usize) -> Result<Self, StarterError> {
        if !socket::is_unix_stream(&socket) {
            return Err(StarterError::NotASocket);
        }
        match socket::send_all(&socket, &HELLO.to_ne_bytes()) {
            // A starter that is gone may have sent everything before. Receiving shows whether it
            // has.
            Ok(()) | Err(Errno::EPIPE | Errno::ECONNRESET) => {}
            Err(cause) => return Err(StarterError::System("anything", cause)),
        }
        Ok(Starter { socket, awaited: streams + 1 })
    }

    /// Receives the text of the environment, without its final NUL.
    pub fn environment(&mut self) -> Result<Vec<u8>, StarterError> {
        let mut word = [0; 4];
        self.exactly(&mut word, "the length of the environment")?;
        let announced = i32::from_ne_bytes(word);
        let length = usize::try_from(announced).unwrap_or(0);
        if length == 0 || length > MAX_ENVIRONMENT {
            return Err(StarterError::BadLength(announced));
        }
        let mut text = vec![0; length];
        self.exactly(&mut text, "all of the environment")?;
        match text.pop() {
            Some(0) if !text.contains(&0) => Ok(text),
            _ => Err(StarterError::NotAString),
        }
    }

    /// Receives the next descriptor. `what` names it in errors.
    pub fn descriptor(&mut self, what: &'static str) -> Result<OwnedFd, StarterError> {
        self.awaited = self.awaited.saturating_sub(1);
        let mut byte = [0];
        let received = socket::receive_message(&self.socket, &mut byte);
        let (length, mut message) = received.map_err(|cause| StarterError::System(what, cause))?;
        match (length, byte, message.descriptors.pop()) {
            (0, ..) => Err(StarterError::Closed(what)),
            (_, [0], Some(descriptor)) if message.descriptors.is_empty() => Ok(descriptor),
            _ => Err(StarterError::NoDescriptor(what)),
        }
    }

    /// Reports a failure to the starter on this socket, and again on the new socket if that still
    /// arrives: a starter that has sent the environment reads only the new one. What the starter
    /// sends before is read and dropped.
    pub fn fail(mut self, error: &str) {
        send_error(&self.socket, error);
        // A starter that received this error may send nothing more, keep its socket open, and wait
        // for the wrapper's end.
        let _ = socket::set_timeouts(&self.socket, ERROR_SOCKET_TIMEOUT);
        let mut bytes = vec![0; 64 * 1024];
        while self.awaited > 0 {
            match socket::receive_message(&self.socket, &mut bytes) {
                Ok((1.., mut message)) => {
                    let arrived = message.descriptors.len();
                    self.awaited = self.awaited.saturating_sub(arrived);
                    if let (0, Some(new)) = (self.awaited, message.descriptors.pop()) {
                        send_error(&new, error);
                    }
                }
                Ok((0, _)) | Err(_) => return,
            }
        }
    }

    fn exactly(&mut self, bytes: &mut [u8], what: &'static str) -> Result<(), StarterError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match socket::receive(&self.socket, &mut bytes[filled..]) {
                Ok(0) => return Err(StarterError::Closed(what)),
                Ok(more) => filled += more,
                Err(cause) => return Err(StarterError::System(what, cause)),
            }
        }
        Ok(())
    }
}

/// The wrapper, at the other end of the starter's socket.
#[derive(Debug)]
pub struct Wrapper {
    /// Readable once the wrapper has sent its first message, or is gone.
    pub socket: OwnedFd,
}

impl Wrapper {
    /// Receives the wrapper's first message, and returns which process has sent it, as the kernel
    /// tells: that is the one that becomes the job. None if it is not the right message, or if the
    /// wrapper, or the switcher, is gone. The socket must ask for its senders
    /// ([`socket::set_passcred`]).
    pub fn receive_hello(&self) -> Result<Option<Sender>, Errno> {
        let mut word = [0; 4];
        let (mut filled, mut last) = (0, None);
        while filled < word.len() {
            // Descriptors that come with it are closed in the background.
            let passed = &mut Vec::new();
            match socket::receive_from(&self.socket, &mut word[filled..], passed)? {
                (0, _) => return Ok(None),
                (more, sender) => (filled, last) = (filled + more, sender),
            }
        }
        Ok(last.filter(|_| u32::from_ne_bytes(word) == HELLO))
    }

    /// Sends the text of the environment and the three standard streams. Returns the socket on
    /// which the wrapper reports why it does not execute the job.
    pub fn send_job(
        self,
        environment: &[u8],
        streams: [BorrowedFd<'_>; 3],
    ) -> Result<ErrorSocket, Errno> {
        let length = i32::try_from(environment.len() + 1).map_err(|_| Errno::E2BIG)?;
        let text = [&length.to_ne_bytes()[..], environment, &[0]].concat();
        // The wrapper receives everything before it executes the job, also after a failure. So no
        // call here blocks without limit.
        let sent = (|| {
            socket::send_all(&self.socket, &text)?;
            for stream in streams {
                socket::send_with_descriptor(&self.socket, &[0], &stream)?;
            }
            let (ours, theirs) = socket::socketpair()?;
            socket::send_with_descriptor(&self.socket, &[0], &theirs)?;
            Ok(ours)
        })();
        match sent {
            // The wrapper is gone, and may have sent the reason before.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(ErrorSocket::new(self.socket)),
            sent => sent.map(ErrorSocket::new),
        }
    }
}

/// The socket on which the wrapper reports why it cannot execute the job. Any process that has the
/// other end may send anything, and keep it open without limit.
#[derive(Debug)]
pub struct ErrorSocket {
    /// Readable when there is more to receive, or at its end of file.
    pub socket: OwnedFd,
    received: Vec<u8>,
}

impl ErrorSocket {
    /// A socket of which nothing is received yet.
    fn new(socket: OwnedFd) -> Self {
        ErrorSocket { socket, received: Vec::new() }
    }

    /// Receives what has arrived, without waiting. Returns whether that is all.
    pub fn receive(&mut self) -> Result<bool, Errno> {
        let mut bytes = [0; MAX_MESSAGE];
        while self.received.len() < MAX_MESSAGE {
            match socket::try_receive(&self.socket, &mut bytes)? {
                None => return Ok(false),
                Some(0) => break,
                Some(more) => self.received.extend_from_slice(&bytes[..more]),
            }
        }
        Ok(true)
    }

    /// The error that was received. None if there is none: the job was executed.
    pub fn error(mut self) -> Option<Vec<u8>> {
        self.received.truncate(MAX_MESSAGE);
        self.received.retain(|byte| *byte != 0);
        Some(self.received).filter(|text| !text.is_empty())
    }
}

/// Sends an error as the starter expects it: one string of at most 255 bytes with its NUL. It does
/// not matter if the starter is gone.
pub fn send_error(socket: &OwnedFd, message: &str) {
    let mut end = message.len().min(MAX_MESSAGE - 1);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let mut bytes = message.as_bytes()[..end].to_vec();
    bytes.push(0);
    let _ = socket::send_all(socket, &bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receiving_does_not_wait_while_the_other_end_stays_open() {
        let (ours, theirs) = socket::socketpair().unwrap_or_else(|error| panic!("{error}"));
        let mut errors = ErrorSocket::new(ours);
        assert_eq!(errors.receive(), Ok(false));
        assert_eq!(socket::send_all(&theirs, b"x"), Ok(()));
        assert_eq!(errors.receive(), Ok(false));
        send_error(&theirs, "why");
        drop(theirs);
        assert_eq!(errors.receive(), Ok(true));
        assert_eq!(errors.error(), Some(b"xwhy".to_vec()));
    }

    #[test]
    fn there_is_no_error_of_a_job_that_was_executed() {
        let (ours, theirs) = socket::socketpair().unwrap_or_else(|error| panic!("{error}"));
        drop(theirs);
        let mut errors = ErrorSocket::new(ours);
        assert_eq!((errors.receive(), errors.error()), (Ok(true), None));
    }
}
