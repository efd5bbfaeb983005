//! Frames over a socket, in batches, with bounded memory and bounded patience.

use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use error::ConnectionError;
use sys::socket::{self, Connected, RoomForPassed, Sender};
use sys::{Errno, Passed, Uid, fd};

use super::Halt;
use super::frame::{ALIVE, CHUNK, Frame, LONGEST, Malformed};

impl From<Malformed> for ConnectionError {
    fn from(_: Malformed) -> Self {
        ConnectionError::Protocol("a malformed message")
    }
}

/// How often a side that is busy says so, at most: well within the shortest idle limit, which is a
/// second.
const BEAT: Duration = Duration::from_millis(200);

/// How often it is asked whether a transfer is to end, at most.
const GLANCE: Duration = Duration::from_millis(100);

/// A side that says nothing but that it is at work, or dribbles, is given up after so many times
/// the idle limit.
const MOST_BEATS: u32 = 10;

/// Room for the longest frame, and for what follows it in the same reading.
const ROOM: usize = 4 + LONGEST + CHUNK;

/// One end of a connection between a helper and its agent.
#[derive(Debug)]
pub struct Channel {
    socket: Connected,
    out: Vec<u8>,
    arrived: Box<[u8]>,
    /// What of `arrived` holds bytes that are not used yet.
    unused: Range<usize>,
    /// Whether the other side may pass descriptors now; and those that it has passed, in their
    /// order.
    passing: bool,
    passed: Vec<Passed>,
    room_for_passed: RoomForPassed,
    /// When this side last said that it is alive.
    beat: Instant,
    /// How long the other side may do nothing; zero is for ever.
    limit: Duration,
    /// Whether to end before all is done; and when that was asked last.
    halt: Option<Halt>,
    asked: Instant,
}

impl Channel {
    /// Speaks over a connected stream socket.
    pub fn new(socket: OwnedFd) -> Self {
        let arrived = vec![0; ROOM].into_boxed_slice();
        let beat = Instant::now();
        let socket = Connected::new(socket);
        Channel {
            socket,
            out: Vec::new(),
            arrived,
            unused: 0..0,
            passing: false,
            passed: Vec::new(),
            room_for_passed: RoomForPassed::new(),
            beat,
            limit: Duration::ZERO,
            halt: None,
            asked: beat,
        }
    }

    /// No single wait takes longer than this; zero is for ever.
    pub fn limit_waiting(&mut self, limit: Duration) -> Result<(), ConnectionError> {
        self.limit = limit;
        Ok(socket::limit_waiting(&self.socket, limit)?)
    }

    /// Ends with [`ConnectionError::Halted`] from now on once that is wanted; returns what has
    /// decided that before.
    pub fn halt_if(&mut self, halt: Option<Halt>) -> Option<Halt> {
        std::mem::replace(&mut self.halt, halt)
    }

    /// Whether to go on.
    fn go_on(&mut self) -> Result<(), ConnectionError> {
        let Some(halt) = self.halt.as_ref().filter(|_| self.asked.elapsed() >= GLANCE) else {
            return Ok(());
        };
        self.asked = Instant::now();
        if halt.is_wanted() { Err(ConnectionError::Halted) } else { Ok(()) }
    }

    /// Waits until something has arrived, if somebody may want to end that.
    fn wait(&mut self) -> Result<(), ConnectionError> {
        let Some(halt) = &self.halt else { return Ok(()) };
        let begun = Instant::now();
        loop {
            if halt.is_wanted() {
                return Err(ConnectionError::Halted);
            }
            match fd::wait_for_any([self.socket.as_fd()], Some(Instant::now() + GLANCE)) {
                Ok([true]) => return Ok(()),
                Ok([false]) | Err(Errno::EINTR)
                    if self.limit.is_zero() || begun.elapsed() < self.limit => {}
                Ok([false]) | Err(Errno::EINTR) => return Err(ConnectionError::Idle),
                Err(cause) => return Err(cause.into()),
            }
        }
    }

    /// Queues a frame; sends what is queued once it is a good deal.
    pub fn queue(&mut self, frame: Frame<'_>) -> Result<(), ConnectionError> {
        self.go_on()?;
        frame.encode(&mut self.out);
        if self.out.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Queues content of a file as [`Frame::encode_data`] does.
    pub fn queue_data<E>(
        &mut self,
        offset: u64,
        length: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Result<usize, E>, ConnectionError> {
        let read = Frame::encode_data(&mut self.out, offset, length, read);
        if self.out.len() >= CHUNK {
            self.flush()?;
        }
        Ok(read)
    }

    /// Sends a frame, and what was queued before it.
    pub fn send(&mut self, frame: Frame<'_>) -> Result<(), ConnectionError> {
        self.queue(frame)?;
        self.flush()
    }

    /// Sends a frame with a descriptor beside it, and what was queued before it. None if the kernel
    /// has too many of this user's descriptors on their way; then the frame is not sent.
    pub fn pass(&mut self, frame: Frame<'_>, file: &File) -> Result<Option<()>, ConnectionError> {
        self.flush()?;
        frame.encode(&mut self.out);
        let sent = socket::send_with(&self.socket, &self.out, file);
        self.out.clear();
        match sent {
            Err(Errno::ETOOMANYREFS) => Ok(None),
            sent => Ok(sent.map(Some)?),
        }
    }

    /// Says that this side is still at work, if it has not said so for a while. It does not wait
    /// until the other side, which may be busy with sending, has heard of it.
    pub fn keep_alive(&mut self) -> Result<(), ConnectionError> {
        if self.beat.elapsed() < BEAT {
            return Ok(());
        }
        self.beat = Instant::now();
        self.go_on()?;
        if !self.out.is_empty() {
            return self.flush();
        }
        Frame::Alive.encode(&mut self.out);
        let sent = socket::try_send(&self.socket, &self.out);
        self.out.clear();
        Ok(sent?)
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        self.go_on()?;
        let sent = socket::send_all(&self.socket, &self.out);
        self.out.clear();
        Ok(sent?)
    }

    /// Receives the next frame that says something.
    pub fn receive(&mut self) -> Result<Frame<'_>, ConnectionError> {
        self.receive_after(Duration::ZERO)
    }

    /// The same where the other side may be at work for so long before it answers.
    pub fn receive_after(&mut self, work: Duration) -> Result<Frame<'_>, ConnectionError> {
        self.receive_by(self.deadline(work))
    }

    /// When the other side is given up if it begins now to be at work for so long; none is never.
    pub fn deadline(&self, work: Duration) -> Option<Instant> {
        match self.limit {
            Duration::ZERO => None,
            limit => {
                Instant::now().checked_add(limit.saturating_mul(MOST_BEATS).saturating_add(work))
            }
        }
    }

    /// As [`Channel::receive`], with a deadline for several answers.
    pub fn receive_by(&mut self, deadline: Option<Instant>) -> Result<Frame<'_>, ConnectionError> {
        loop {
            self.go_on()?;
            self.want(4, deadline)?;
            let header = &self.arrived[self.unused.start..self.unused.start + 4];
            let length =
                header.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
            if length > LONGEST {
                return Err(ConnectionError::Protocol("a message that is too long"));
            }
            self.want(4 + length, deadline)?;
            let start = self.unused.start + 4;
            self.unused.start = start + length;
            if self.arrived[start..start + length] != [ALIVE] {
                return Ok(Frame::decode(&self.arrived[start..start + length])?);
            }
            check(deadline)?;
        }
    }

    /// Says that nothing more is asked for; what is still to come can be received.
    pub fn end_sending(&mut self) -> Result<(), ConnectionError> {
        self.flush()?;
        Ok(socket::end_sending(&self.socket)?)
    }

    /// Who has made the pair of sockets, as a number of this process's user namespace.
    pub fn maker(&self) -> Result<Uid, ConnectionError> {
        Ok(socket::maker(&self.socket)?)
    }

    /// Whether the other end neither sends nor hears anything any more.
    pub fn is_closed(&self) -> bool {
        socket::is_closed(&self.socket)
    }

    /// Lets the other side pass descriptors from the next reading on, or no longer: then they break
    /// the protocol.
    pub fn accept_passed(&mut self, passing: bool) {
        self.passing = passing;
        self.passed.clear();
    }

    /// The descriptor that came with the frame received last.
    pub fn passed(&mut self) -> Result<Passed, ConnectionError> {
        match self.passed.pop() {
            Some(passed) if self.passed.is_empty() => Ok(passed),
            _ => Err(ConnectionError::Protocol("a message without exactly one descriptor")),
        }
    }

    /// Receives the first frame together with the process that sent it.
    ///
    /// The peer's credentials in SO_PEERCRED would be of no use: they name whoever made the pair,
    /// which is this side.
    pub fn first(&mut self) -> Result<(Sender, Frame<'_>), ConnectionError> {
        self.wait()?;
        let mut bytes = [0; 64];
        let (length, sender) = socket::receive_from(&self.socket, &mut bytes, &mut self.passed)?;
        if length == 0 {
            return Err(ConnectionError::Closed);
        }
        self.check_passed()?;
        socket::receive_credentials(&self.socket, false)?;
        let sender = sender.ok_or(ConnectionError::Protocol("a message without credentials"))?;
        self.arrived[..length].copy_from_slice(&bytes[..length]);
        self.unused = 0..length;
        Ok((sender, self.receive()?))
    }

    /// Waits until `length` bytes that are not used yet have arrived: at most those of the longest
    /// frame.
    fn want(&mut self, length: usize, deadline: Option<Instant>) -> Result<(), ConnectionError> {
        if self.unused.len() >= length {
            return Ok(());
        }
        self.arrived.copy_within(self.unused.clone(), 0);
        self.unused = 0..self.unused.len();
        while self.unused.len() < length {
            self.wait()?;
            let room = &mut self.arrived[self.unused.end..];
            match socket::receive_passed(
                &self.socket,
                room,
                &mut self.passed,
                &mut self.room_for_passed,
            )? {
                0 => return Err(ConnectionError::Closed),
                received => self.unused.end += received,
            }
            self.check_passed()?;
            check(deadline)?;
        }
        Ok(())
    }

    /// No more than one is ever on its way, and one more may have come beside a wrong frame; more
    /// are only meant to fill our table.
    fn check_passed(&self) -> Result<(), ConnectionError> {
        if self.passed.len() > if self.passing { 2 } else { 0 } {
            return Err(ConnectionError::Protocol("descriptors that nobody asked for"));
        }
        Ok(())
    }
}

/// Whether there is still time: a side that dribbles is as idle as one that says nothing.
fn check(deadline: Option<Instant>) -> Result<(), ConnectionError> {
    match deadline {
        Some(deadline) if Instant::now() > deadline => Err(ConnectionError::Idle),
        _ => Ok(()),
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
    fn a_descriptor_arrives_with_its_frame_and_only_where_it_is_wanted() {
        let (mut channel, other) = connected();
        let mut sender = Channel::new(other);
        let null = File::open("/dev/null").unwrap_or_else(|error| panic!("{error}"));
        let frame = Frame::Content { size: 0 };
        assert_eq!(sender.pass(frame, &null), Ok(Some(())));
        assert_eq!(
            channel.receive(),
            Err(ConnectionError::Protocol("descriptors that nobody asked for"))
        );

        let (mut channel, other) = connected();
        let mut sender = Channel::new(other);
        channel.accept_passed(true);
        assert_eq!(sender.send(Frame::Done), Ok(()));
        assert_eq!(sender.pass(frame, &null), Ok(Some(())));
        assert_eq!(channel.receive(), Ok(Frame::Done));
        assert_eq!(channel.receive(), Ok(frame));
        // It has come, but a device is not let any further.
        assert_eq!(channel.passed().map(|passed| passed.regular_on(0).is_err()), Ok(true));
    }

    #[test]
    fn signs_of_life_are_passed_over() {
        let (mut channel, other) = connected();
        let mut sender = Channel::new(other);
        for frame in [Frame::Alive, Frame::Alive, Frame::Done] {
            assert_eq!(sender.send(frame), Ok(()));
        }
        assert_eq!(channel.receive(), Ok(Frame::Done));
    }

    #[test]
    fn nothing_but_signs_of_life_ends_at_ten_idle_limits() {
        let (mut channel, other) = connected();
        assert_eq!(channel.limit_waiting(Duration::from_millis(20)), Ok(()));
        let mut sender = Channel::new(other);
        let beating = std::thread::spawn(move || while sender.send(Frame::Alive).is_ok() {});
        assert_eq!(channel.receive(), Err(ConnectionError::Idle));
        drop(channel);
        assert!(beating.join().is_ok());
    }

    #[test]
    fn silence_ends_at_the_idle_limit() {
        let (mut channel, _other) = connected();
        assert_eq!(channel.limit_waiting(Duration::from_millis(20)), Ok(()));
        assert_eq!(channel.receive(), Err(ConnectionError::Idle));
    }

    #[test]
    fn the_first_frame_comes_with_the_uid_and_the_pid_of_its_sender() {
        let (mut channel, other) = connected();
        assert_eq!(socket::receive_credentials(&channel.socket, true), Ok(()));
        assert_eq!(Channel::new(other).send(Frame::Done), Ok(()));
        let own = Sender { uid: sys::process::user(), pid: sys::process::getpid() };
        assert_eq!(channel.first(), Ok((own, Frame::Done)));
    }
}
