//! Frames over a socket, in batches, with bounded memory and bounded patience.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::frame::{CHUNK, Frame, LONGEST, Malformed};
use crate::sys::{Errno, socket};

/// Why a connection can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The other end is gone.
    Closed,
    /// The other end let the idle limit pass.
    Idle,
    /// The other end sent something that it may not send, or not now.
    Protocol(&'static str),
    /// The kernel refused.
    System(Errno),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Closed => f.write_str("it closed the connection"),
            Broken::Idle => f.write_str("no progress within the idle limit (GLEXEC_HELPERS_IDLE_TIMEOUT)"),
            Broken::Protocol(cause) => write!(f, "it broke the protocol ({cause})"),
            Broken::System(cause) => write!(f, "{cause}"),
        }
    }
}

impl std::error::Error for Broken {}

impl From<Malformed> for Broken {
    fn from(_: Malformed) -> Self {
        Broken::Protocol("a malformed message")
    }
}

impl From<Errno> for Broken {
    fn from(cause: Errno) -> Self {
        match cause {
            Errno::EAGAIN => Broken::Idle,
            Errno::EPIPE | Errno::ECONNRESET => Broken::Closed,
            cause => Broken::System(cause),
        }
    }
}

/// One end of a connection between a helper and its agent.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    out: Vec<u8>,
    arrived: Vec<u8>,
    /// What of `arrived` has been used.
    used: usize,
}

impl Channel {
    /// Speaks over a connected stream socket.
    pub fn new(socket: OwnedFd) -> Self {
        Channel { socket, out: Vec::new(), arrived: Vec::new(), used: 0 }
    }

    /// No single wait takes longer than this.
    pub fn limit_waiting(&self, limit: Duration) -> Result<(), Broken> {
        Ok(socket::limit_waiting(&self.socket, limit)?)
    }

    /// Queues a frame; sends what is queued once it is a good deal.
    pub fn queue(&mut self, frame: Frame<'_>) -> Result<(), Broken> {
        frame.encode(&mut self.out);
        if self.out.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Sends a frame, and what was queued before it.
    pub fn send(&mut self, frame: Frame<'_>) -> Result<(), Broken> {
        self.queue(frame)?;
        self.flush()
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> Result<(), Broken> {
        let sent = socket::send_all(&self.socket, &self.out);
        self.out.clear();
        Ok(sent?)
    }

    /// Receives the next frame.
    pub fn receive(&mut self) -> Result<Frame<'_>, Broken> {
        self.want(4)?;
        let header = &self.arrived[self.used..self.used + 4];
        let length = header.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        if length > LONGEST {
            return Err(Broken::Protocol("a message that is too long"));
        }
        self.want(4 + length)?;
        let start = self.used + 4;
        self.used = start + length;
        Ok(Frame::decode(&self.arrived[start..self.used])?)
    }

    /// Receives the first frame together with the user id of the process that sent it.
    ///
    /// The peer's credentials in SO_PEERCRED would be of no use: they name whoever made the pair, which is this side.
    pub fn first(&mut self) -> Result<(u32, Frame<'_>), Broken> {
        let mut bytes = [0; 64];
        let (length, beside) = socket::receive_message(&self.socket, &mut bytes)?;
        if length == 0 {
            return Err(Broken::Closed);
        }
        socket::receive_credentials(&self.socket, false)?;
        let uid = beside.uid.ok_or(Broken::Protocol("a message without credentials"))?;
        self.arrived.extend_from_slice(&bytes[..length]);
        Ok((uid, self.receive()?))
    }

    /// Waits until `length` bytes that are not used yet have arrived.
    fn want(&mut self, length: usize) -> Result<(), Broken> {
        if self.arrived.len() - self.used >= length {
            return Ok(());
        }
        self.arrived.drain(..self.used);
        self.used = 0;
        while self.arrived.len() < length {
            let have = self.arrived.len();
            self.arrived.resize(have + CHUNK, 0);
            let received = socket::receive(&self.socket, &mut self.arrived[have..]);
            self.arrived.truncate(have + received.unwrap_or(0));
            if received? == 0 {
                return Err(Broken::Closed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> (Channel, OwnedFd) {
        let (one, other) = socket::pair().unwrap_or_else(|error| panic!("{error}"));
        (Channel::new(one), other)
    }

    #[test]
    fn frames_arrive_whole_however_the_bytes_dribble() {
        let (mut channel, other) = connected();
        let mut bytes = Vec::new();
        Frame::Failed { text: b"one" }.encode(&mut bytes);
        Frame::Done.encode(&mut bytes);
        let sender = std::thread::spawn(move || {
            for byte in bytes {
                socket::send_all(&other, &[byte]).unwrap_or_else(|error| panic!("{error}"));
            }
        });
        assert_eq!(channel.receive(), Ok(Frame::Failed { text: b"one" }));
        assert_eq!(channel.receive(), Ok(Frame::Done));
        assert_eq!(channel.receive(), Err(Broken::Closed));
        assert!(sender.join().is_ok());
    }

    #[test]
    fn an_oversized_frame_is_refused_before_memory_is_taken_for_it() {
        let (mut channel, other) = connected();
        assert_eq!(socket::send_all(&other, &[255; 8]), Ok(()));
        assert_eq!(channel.receive(), Err(Broken::Protocol("a message that is too long")));
        assert!(channel.arrived.capacity() <= 2 * CHUNK);
    }

    #[test]
    fn silence_ends_at_the_idle_limit() {
        let (mut channel, _other) = connected();
        assert_eq!(channel.limit_waiting(Duration::from_millis(20)), Ok(()));
        assert_eq!(channel.receive(), Err(Broken::Idle));
    }

    #[test]
    fn the_first_frame_comes_with_the_uid_of_its_sender() {
        let (mut channel, other) = connected();
        assert_eq!(socket::receive_credentials(&channel.socket, true), Ok(()));
        assert_eq!(Channel::new(other).send(Frame::Done), Ok(()));
        assert_eq!(channel.first(), Ok((crate::sys::process::user(), Frame::Done)));
    }
}
