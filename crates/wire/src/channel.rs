//! Frames over a socket: sent in batches, with bounded memory and bounded waiting.

use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use error::ConnectionError;
use sys::socket::{self, Connected, ControlBuffer, Sender};
use sys::{Errno, Passed, Uid, fd};

use super::Halt;
use super::frame::{CHUNK, Frame, KEEP_ALIVE, MAX_LENGTH, Malformed};

impl From<Malformed> for ConnectionError {
    fn from(_: Malformed) -> Self {
        ConnectionError::Protocol("a malformed message")
    }
}

/// The shortest time between two keep-alives: well below the shortest idle timeout, 1 second.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(200);

/// The shortest time between two checks of whether the transfer must end.
const HALT_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A peer that sends only keep-alives, or parts of one frame, for this many times the idle timeout
/// is dropped.
const MAX_IDLE_TIMEOUTS: u32 = 10;

/// The size of the receive buffer: the longest frame, and what the same read returns after it.
const BUFFER_SIZE: usize = 4 + MAX_LENGTH + CHUNK;

/// One end of a connection between a helper and its agent.
#[derive(Debug)]
pub struct Channel {
    socket: Connected,
    /// Frames that are not sent yet.
    queued: Vec<u8>,
    buffer: Box<[u8]>,
    /// The bytes of `buffer` that were received and not yet returned.
    unread: Range<usize>,
    /// Whether the peer may pass descriptors now.
    accepts_passed: bool,
    /// The descriptors that the peer has passed, in their order.
    passed: Vec<Passed>,
    room_for_passed: ControlBuffer,
    /// When this side last sent a keep-alive.
    last_keep_alive: Instant,
    /// How long the peer may do nothing; zero is no limit.
    idle_timeout: Duration,
    /// Whether the transfer must end before it is complete.
    halt: Option<Halt>,
    /// When `halt` was last checked.
    last_halt_check: Instant,
}

impl Channel {
    /// A channel over a connected stream socket.
    pub fn new(socket: OwnedFd) -> Self {
        let now = Instant::now();
        Channel {
            socket: Connected::new(socket),
            queued: Vec::new(),
            buffer: vec![0; BUFFER_SIZE].into_boxed_slice(),
            unread: 0..0,
            accepts_passed: false,
            passed: Vec::new(),
            room_for_passed: ControlBuffer::new(),
            last_keep_alive: now,
            idle_timeout: Duration::ZERO,
            halt: None,
            last_halt_check: now,
        }
    }

    /// No single wait for the peer takes longer than this; zero is no limit.
    pub fn set_idle_timeout(&mut self, timeout: Duration) -> Result<(), ConnectionError> {
        self.idle_timeout = timeout;
        Ok(socket::set_timeouts(&self.socket, timeout)?)
    }

    /// From now on, calls fail with [`ConnectionError::Halted`] once `halt` requests it. Returns
    /// the value that was set before.
    pub fn set_halt(&mut self, halt: Option<Halt>) -> Option<Halt> {
        std::mem::replace(&mut self.halt, halt)
    }

    /// Fails if the transfer must end.
    fn check_halt(&mut self) -> Result<(), ConnectionError> {
        let is_due = self.last_halt_check.elapsed() >= HALT_CHECK_INTERVAL;
        let Some(halt) = self.halt.as_ref().filter(|_| is_due) else { return Ok(()) };
        self.last_halt_check = Instant::now();
        if halt.is_requested() { Err(ConnectionError::Halted) } else { Ok(()) }
    }

    /// Waits until there is something to receive, if the transfer can be halted. Else the call that
    /// receives waits itself.
    fn wait_readable(&mut self) -> Result<(), ConnectionError> {
        let Some(halt) = &self.halt else { return Ok(()) };
        let begun = Instant::now();
        loop {
            if halt.is_requested() {
                return Err(ConnectionError::Halted);
            }
            match fd::poll_readable(
                [self.socket.as_fd()],
                Some(Instant::now() + HALT_CHECK_INTERVAL),
            ) {
                Ok([true]) => return Ok(()),
                Ok([false]) | Err(Errno::EINTR)
                    if self.idle_timeout.is_zero() || begun.elapsed() < self.idle_timeout => {}
                Ok([false]) | Err(Errno::EINTR) => return Err(ConnectionError::Idle),
                Err(cause) => return Err(cause.into()),
            }
        }
    }

    /// Queues a frame. Sends what is queued once it has the size of a chunk.
    pub fn queue(&mut self, frame: Frame<'_>) -> Result<(), ConnectionError> {
        self.check_halt()?;
        frame.encode(&mut self.queued);
        if self.queued.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Queues content of a file as `Frame::encode_data` does.
    pub fn queue_data<E>(
        &mut self,
        offset: u64,
        length: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Result<usize, E>, ConnectionError> {
        let read = Frame::encode_data(&mut self.queued, offset, length, read);
        if self.queued.len() >= CHUNK {
            self.flush()?;
        }
        Ok(read)
    }

    /// Sends what is queued, and then a frame.
    pub fn send(&mut self, frame: Frame<'_>) -> Result<(), ConnectionError> {
        self.queue(frame)?;
        self.flush()
    }

    /// Sends what is queued, and then a frame with a descriptor. None if too many descriptors of
    /// this user are in flight (ETOOMANYREFS, sendmsg(2)); then the frame is not sent.
    pub fn pass(&mut self, frame: Frame<'_>, file: &File) -> Result<Option<()>, ConnectionError> {
        self.flush()?;
        frame.encode(&mut self.queued);
        let sent = socket::send_with_descriptor(&self.socket, &self.queued, file);
        self.queued.clear();
        match sent {
            Err(Errno::ETOOMANYREFS) => Ok(None),
            sent => Ok(sent.map(Some)?),
        }
    }

    /// Sends a keep-alive, if the last one was a while ago. It does not wait until the peer
    /// receives it: the peer may itself be sending.
    pub fn keep_alive(&mut self) -> Result<(), ConnectionError> {
        if self.last_keep_alive.elapsed() < KEEP_ALIVE_INTERVAL {
            return Ok(());
        }
        self.last_keep_alive = Instant::now();
        self.check_halt()?;
        if !self.queued.is_empty() {
            return self.flush();
        }
        Frame::KeepAlive.encode(&mut self.queued);
        let sent = socket::try_send(&self.socket, &self.queued);
        self.queued.clear();
        Ok(sent?)
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        self.check_halt()?;
        let sent = socket::send_all(&self.socket, &self.queued);
        self.queued.clear();
        Ok(sent?)
    }

    /// Receives the next frame that is not a keep-alive.
    pub fn receive(&mut self) -> Result<Frame<'_>, ConnectionError> {
        self.receive_after(Duration::ZERO)
    }

    /// As [`Channel::receive`], where the peer may work for this long before it answers.
    pub fn receive_after(&mut self, work: Duration) -> Result<Frame<'_>, ConnectionError> {
        self.receive_by(self.deadline(work))
    }

    /// When a peer is dropped that begins now, and may work for this long before it answers. None
    /// if there is no limit.
    pub fn deadline(&self, work: Duration) -> Option<Instant> {
        let timeout = Some(self.idle_timeout).filter(|timeout| !timeout.is_zero())?;
        Instant::now().checked_add(timeout.saturating_mul(MAX_IDLE_TIMEOUTS).saturating_add(work))
    }

    /// As [`Channel::receive`], with a deadline for several answers.
    pub fn receive_by(&mut self, deadline: Option<Instant>) -> Result<Frame<'_>, ConnectionError> {
        loop {
            self.check_halt()?;
            self.fill(4, deadline)?;
            let header = &self.buffer[self.unread.start..self.unread.start + 4];
            let length =
                header.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
            if length > MAX_LENGTH {
                return Err(ConnectionError::Protocol("a message that is too long"));
            }
            self.fill(4 + length, deadline)?;
            let start = self.unread.start + 4;
            self.unread.start = start + length;
            if self.buffer[start..start + length] != [KEEP_ALIVE] {
                return Ok(Frame::decode(&self.buffer[start..start + length])?);
            }
            check_deadline(deadline)?;
        }
    }

    /// Ends sending, so that the peer reads an end of file. Frames can still be received.
    pub fn end_sending(&mut self) -> Result<(), ConnectionError> {
        self.flush()?;
        Ok(socket::shutdown_write(&self.socket)?)
    }

    /// The uid, in this process's user namespace, of the process that made the pair of sockets.
    pub fn creator_uid(&self) -> Result<Uid, ConnectionError> {
        Ok(socket::peer_uid(&self.socket)?)
    }

    /// Whether the peer has closed its end.
    pub fn is_closed(&self) -> bool {
        socket::is_closed(&self.socket)
    }

    /// Whether the peer may pass descriptors from the next read on. Where it may not, a descriptor
    /// is a protocol error.
    pub fn accept_passed(&mut self, accepts: bool) {
        self.accepts_passed = accepts;
        self.passed.clear();
    }

    /// The descriptor that came with the frame that was received last.
    pub fn passed(&mut self) -> Result<Passed, ConnectionError> {
        match self.passed.pop() {
            Some(passed) if self.passed.is_empty() => Ok(passed),
            _ => Err(ConnectionError::Protocol("a message without exactly one descriptor")),
        }
    }

    /// Receives the first frame, and which process sent it (SCM_CREDENTIALS, unix(7)).
    ///
    /// SO_PEERCRED does not tell: it names the process that made the pair of sockets, which is this
    /// one.
    pub fn receive_first(&mut self) -> Result<(Sender, Frame<'_>), ConnectionError> {
        self.wait_readable()?;
        let mut bytes = [0; 64];
        let (length, sender) = socket::receive_from(&self.socket, &mut bytes, &mut self.passed)?;
        if length == 0 {
            return Err(ConnectionError::Closed);
        }
        self.check_passed()?;
        socket::set_passcred(&self.socket, false)?;
        let sender = sender.ok_or(ConnectionError::Protocol("a message without credentials"))?;
        self.buffer[..length].copy_from_slice(&bytes[..length]);
        self.unread = 0..length;
        Ok((sender, self.receive()?))
    }

    /// Receives until `length` bytes are unread: at most those of the longest frame.
    fn fill(&mut self, length: usize, deadline: Option<Instant>) -> Result<(), ConnectionError> {
        if self.unread.len() >= length {
            return Ok(());
        }
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        while self.unread.len() < length {
            self.wait_readable()?;
            let room = &mut self.buffer[self.unread.end..];
            match socket::receive_passed(
                &self.socket,
                room,
                &mut self.passed,
                &mut self.room_for_passed,
            )? {
                0 => return Err(ConnectionError::Closed),
                received => self.unread.end += received,
            }
            self.check_passed()?;
            check_deadline(deadline)?;
        }
        Ok(())
    }

    /// A peer that keeps to the protocol has one descriptor in flight at most. One more may come
    /// with a wrong frame, which is refused by itself. More would only fill this process's table.
    fn check_passed(&self) -> Result<(), ConnectionError> {
        if self.passed.len() > if self.accepts_passed { 2 } else { 0 } {
            return Err(ConnectionError::Protocol("an unexpected descriptor"));
        }
        Ok(())
    }
}

/// Fails after the deadline: a peer that sends a byte now and then counts as idle.
fn check_deadline(deadline: Option<Instant>) -> Result<(), ConnectionError> {
    match deadline {
        Some(deadline) if Instant::now() > deadline => Err(ConnectionError::Idle),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> (Channel, OwnedFd) {
        let (one, other) = socket::socketpair().unwrap_or_else(|error| panic!("{error}"));
        (Channel::new(one), other)
    }

    #[test]
    fn frames_arrive_whole_however_small_the_pieces_are() {
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
        assert_eq!(channel.receive(), Err(ConnectionError::Closed));
        assert!(sender.join().is_ok());
    }

    #[test]
    fn an_oversized_frame_is_refused() {
        let (mut channel, other) = connected();
        assert_eq!(socket::send_all(&other, &[255; 8]), Ok(()));
        assert_eq!(channel.receive(), Err(ConnectionError::Protocol("a message that is too long")));
    }

    #[test]
    fn a_descriptor_arrives_with_its_frame_and_only_where_it_is_accepted() {
        let (mut channel, other) = connected();
        let mut sender = Channel::new(other);
        let null = File::open("/dev/null").unwrap_or_else(|error| panic!("{error}"));
        let frame = Frame::Content { size: 0 };
        assert_eq!(sender.pass(frame, &null), Ok(Some(())));
        assert_eq!(channel.receive(), Err(ConnectionError::Protocol("an unexpected descriptor")));

        let (mut channel, other) = connected();
        let mut sender = Channel::new(other);
        channel.accept_passed(true);
        assert_eq!(sender.send(Frame::Done), Ok(()));
        assert_eq!(sender.pass(frame, &null), Ok(Some(())));
        assert_eq!(channel.receive(), Ok(Frame::Done));
        assert_eq!(channel.receive(), Ok(frame));
        // The descriptor arrives, but as a device it is refused.
        assert_eq!(channel.passed().map(|passed| passed.regular_on(0).is_err()), Ok(true));
    }

    #[test]
    fn keep_alives_are_skipped() {
        let (mut channel, other) = connected();
        let mut sender = Channel::new(other);
        for frame in [Frame::KeepAlive, Frame::KeepAlive, Frame::Done] {
            assert_eq!(sender.send(frame), Ok(()));
        }
        assert_eq!(channel.receive(), Ok(Frame::Done));
    }

    #[test]
    fn a_peer_that_sends_only_keep_alives_is_dropped_after_ten_idle_timeouts() {
        let (mut channel, other) = connected();
        assert_eq!(channel.set_idle_timeout(Duration::from_millis(20)), Ok(()));
        let mut sender = Channel::new(other);
        let sending = std::thread::spawn(move || while sender.send(Frame::KeepAlive).is_ok() {});
        assert_eq!(channel.receive(), Err(ConnectionError::Idle));
        drop(channel);
        assert!(sending.join().is_ok());
    }

    #[test]
    fn a_silent_peer_is_dropped_after_the_idle_timeout() {
        let (mut channel, _other) = connected();
        assert_eq!(channel.set_idle_timeout(Duration::from_millis(20)), Ok(()));
        assert_eq!(channel.receive(), Err(ConnectionError::Idle));
    }

    #[test]
    fn the_first_frame_comes_with_the_uid_and_the_pid_of_its_sender() {
        let (mut channel, other) = connected();
        assert_eq!(socket::set_passcred(&channel.socket, true), Ok(()));
        assert_eq!(Channel::new(other).send(Frame::Done), Ok(()));
        let own = Sender { uid: sys::process::geteuid(), pid: sys::process::getpid() };
        assert_eq!(channel.receive_first(), Ok((own, Frame::Done)));
    }
}
