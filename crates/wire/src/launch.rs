//! The start of a job, between the starter and the job wrapper, over the stream socket on the
//! wrapper's descriptor 0.
//!
//! Integers are native-endian, 4 bytes:
//!
//! 1. wrapper to starter: [`HELLO`]: the switcher worked;
//! 2. starter to wrapper: a signed length above 0, then so many bytes: the job's environment and a
//!    final NUL;
//! 3. for each standard stream that the starter passes: one zero byte that carries a descriptor;
//! 4. one zero byte that carries a new socket, for errors from then on; its end of file says that
//!    the job was executed.
//!
//! Descriptors are attached to bytes, so each step reads exactly its own bytes.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use sys::{Errno, socket};

/// The first word of the wrapper.
pub const HELLO: u32 = 0xdead_beef;

/// The longest error message, its final NUL included.
pub const LONGEST_MESSAGE: usize = 255;

/// More than any kernel takes as an environment (a quarter of the stack limit, see execve(2)); a
/// length above it is a lie.
const LONGEST_ENVIRONMENT: usize = 64 << 20;

/// How long a failed start waits for the new socket.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the starter's part of the conversation could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Descriptor 0 is something else than the starter's socket.
    NotASocket,
    /// The starter closed its end before it had sent what belongs to a step.
    Vanished(&'static str),
    /// The length of the environment is not one.
    BadLength(i32),
    /// The environment does not end with a NUL, or has one inside.
    NotAString,
    /// A step's byte is not zero, or not with exactly one descriptor.
    NoDescriptor(&'static str),
    /// The kernel refused.
    System(&'static str, Errno),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NotASocket => f.write_str("descriptor 0 is not the starter's socket: run was not started with one, or the switcher does not pass it on (sudo: the rule needs !use_pty, and no log_input)"),
            Trouble::Vanished(cause) => write!(f, "the starter closed the connection before it sent {cause}"),
            Trouble::BadLength(cause) => write!(f, "the starter announced an environment of {cause} bytes"),
            Trouble::NotAString => f.write_str("the environment from the starter is not one string that ends with a NUL"),
            Trouble::NoDescriptor(cause) => write!(f, "the starter sent a message without exactly one descriptor for {cause}"),
            Trouble::System(first, second) => write!(f, "cannot receive {first} from the starter: {second}"),
        }
    }
}

impl std::error::Error for Trouble {}

/// The wrapper's end of the first socket.
#[derive(Debug)]
pub struct Starter {
    socket: OwnedFd,
    /// How many messages with descriptors are still to come, the new socket included.
    awaited: usize,
}

impl Starter {
    /// Greets the starter, who will pass `streams` descriptors and then the new socket.
    pub fn greet(socket: OwnedFd, streams: usize) -> Result<Self, Trouble> {
        if !socket::is_local_stream(&socket) {
            return Err(Trouble::NotASocket);
        }
        match socket::send_all(&socket, &HELLO.to_ne_bytes()) {
            // A starter that is gone may have sent everything before: what is there to receive will
            // tell.
            Ok(()) | Err(Errno::EPIPE | Errno::ECONNRESET) => {}
            Err(cause) => return Err(Trouble::System("anything", cause)),
        }
        Ok(Starter { socket, awaited: streams + 1 })
    }

    /// Receives the environment's text, without its final NUL.
    pub fn environment(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut word = [0; 4];
        self.exactly(&mut word, "the length of the environment")?;
        let announced = i32::from_ne_bytes(word);
        let length = usize::try_from(announced).unwrap_or(0);
        if length == 0 || length > LONGEST_ENVIRONMENT {
            return Err(Trouble::BadLength(announced));
        }
        let mut text = vec![0; length];
        self.exactly(&mut text, "all of the environment")?;
        match text.pop() {
            Some(0) if !text.contains(&0) => Ok(text),
            _ => Err(Trouble::NotAString),
        }
    }

    /// Receives the next descriptor, `what` it is for.
    pub fn descriptor(&mut self, what: &'static str) -> Result<OwnedFd, Trouble> {
        self.awaited = self.awaited.saturating_sub(1);
        let mut byte = [0];
        let received = socket::receive_message(&self.socket, &mut byte);
        let (length, mut beside) = received.map_err(|cause| Trouble::System(what, cause))?;
        match (length, byte, beside.descriptors.pop()) {
            (0, ..) => Err(Trouble::Vanished(what)),
            (_, [0], Some(descriptor)) if beside.descriptors.is_empty() => Ok(descriptor),
            _ => Err(Trouble::NoDescriptor(what)),
        }
    }

    /// Tells the starter of a failure on this socket, and again on the new one if that still
    /// arrives: a starter that has sent the environment reads only the new one. What else it
    /// sends before is read and dropped.
    pub fn fail(mut self, message: &str) {
        report(&self.socket, message);
        // One that heard the first message may send nothing more, and wait for our end with its
        // socket open.
        let _ = socket::limit_waiting(&self.socket, PATIENCE);
        let mut bytes = vec![0; 64 * 1024];
        while self.awaited > 0 {
            match socket::receive_message(&self.socket, &mut bytes) {
                Ok((1.., mut beside)) => {
                    let arrived = beside.descriptors.len();
                    self.awaited = self.awaited.saturating_sub(arrived);
                    if let (0, Some(new)) = (self.awaited, beside.descriptors.pop()) {
                        report(&new, message);
                    }
                }
                Ok((0, _)) | Err(_) => return,
            }
        }
    }

    fn exactly(&mut self, bytes: &mut [u8], what: &'static str) -> Result<(), Trouble> {
        let mut filled = 0;
        while filled < bytes.len() {
            match socket::receive(&self.socket, &mut bytes[filled..]) {
                Ok(0) => return Err(Trouble::Vanished(what)),
                Ok(more) => filled += more,
                Err(cause) => return Err(Trouble::System(what, cause)),
            }
        }
        Ok(())
    }
}

/// The starter's end of the first socket.
#[derive(Debug)]
pub struct Wrapper {
    /// Can be read once the wrapper has greeted, or is gone.
    pub socket: OwnedFd,
}

impl Wrapper {
    /// Receives the wrapper's first word; whether it is the right one. False also if the wrapper,
    /// or the switcher, is gone.
    pub fn is_greeting(&self) -> Result<bool, Errno> {
        let mut word = [0; 4];
        let mut filled = 0;
        while filled < word.len() {
            match socket::receive(&self.socket, &mut word[filled..])? {
                0 => return Ok(false),
                more => filled += more,
            }
        }
        Ok(u32::from_ne_bytes(word) == HELLO)
    }

    /// Hands over the environment's text and the three standard streams. Returns the socket on
    /// which the wrapper says why the job is not executed, and which ends when it is.
    pub fn hand_over(
        self,
        environment: &[u8],
        streams: [BorrowedFd<'_>; 3],
    ) -> Result<Refusals, Errno> {
        let length = i32::try_from(environment.len() + 1).map_err(|_| Errno::E2BIG)?;
        let text = [&length.to_ne_bytes()[..], environment, &[0]].concat();
        // Before it executes the job it takes everything, whatever is wrong with it: so nothing
        // here waits for ever.
        let sent = (|| {
            socket::send_all(&self.socket, &text)?;
            for stream in streams {
                socket::send_with(&self.socket, &[0], &stream)?;
            }
            let (ours, theirs) = socket::pair()?;
            socket::send_with(&self.socket, &[0], &theirs)?;
            Ok(ours)
        })();
        match sent {
            // It is gone, and may have said why before.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(Refusals::new(self.socket)),
            sent => sent.map(Refusals::new),
        }
    }
}

/// What the wrapper says of a job that it can't execute. Whoever holds the other end may say
/// anything, and never come to an end.
#[derive(Debug)]
pub struct Refusals {
    /// Can be read when there is more, or nothing will come any more.
    pub socket: OwnedFd,
    text: Vec<u8>,
}

impl Refusals {
    /// Nothing has been heard yet.
    fn new(socket: OwnedFd) -> Self {
        Refusals { socket, text: Vec::new() }
    }

    /// Takes what has come, without waiting; whether that is all. A job that was executed has
    /// nothing said about it.
    pub fn hear(&mut self) -> Result<bool, Errno> {
        let mut bytes = [0; LONGEST_MESSAGE];
        while self.text.len() < LONGEST_MESSAGE {
            match socket::try_receive(&self.socket, &mut bytes)? {
                None => return Ok(false),
                Some(0) => break,
                Some(more) => self.text.extend_from_slice(&bytes[..more]),
            }
        }
        Ok(true)
    }

    /// What was said, if anything.
    pub fn text(mut self) -> Option<Vec<u8>> {
        self.text.truncate(LONGEST_MESSAGE);
        self.text.retain(|byte| *byte != 0);
        Some(self.text).filter(|text| !text.is_empty())
    }
}

/// Sends a message as the starter expects it: one string of at most 255 bytes with its NUL. A
/// starter that is gone does not mind.
pub fn report(socket: &OwnedFd, message: &str) {
    let mut end = message.len().min(LONGEST_MESSAGE - 1);
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
    fn who_keeps_the_socket_of_refusals_open_keeps_nobody_waiting() {
        let (ours, theirs) = socket::pair().unwrap_or_else(|error| panic!("{error}"));
        let mut refusals = Refusals::new(ours);
        assert_eq!(refusals.hear(), Ok(false));
        assert_eq!(socket::send_all(&theirs, b"x"), Ok(()));
        assert_eq!(refusals.hear(), Ok(false));
        report(&theirs, "why");
        drop(theirs);
        assert_eq!(refusals.hear(), Ok(true));
        assert_eq!(refusals.text(), Some(b"xwhy".to_vec()));
    }

    #[test]
    fn a_job_that_was_executed_has_nothing_said_about_it() {
        let (ours, theirs) = socket::pair().unwrap_or_else(|error| panic!("{error}"));
        drop(theirs);
        let mut refusals = Refusals::new(ours);
        assert_eq!((refusals.hear(), refusals.text()), (Ok(true), None));
    }
}
