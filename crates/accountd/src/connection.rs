//! A connection with a client, as the process has it that serves the client. What is read here is
//! hostile: lengths are bounded before anything is allocated, and waits have a limit.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use command::refusal::{Refusal, Result};
use sys::{Errno, fd, socket};
use wire::daemon::{self, Answer, Invalid, MAX_REQUEST, MAX_SIGNAL, Request, Signal, VERSION};

/// How long a client may take for its request, and for reading an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most descriptors that arrive with a request.
const MOST: usize = 8;

/// A connection.
pub(crate) struct Connection {
    socket: OwnedFd,
    /// Bytes of a frame that is not complete.
    pending: Vec<u8>,
}

/// What has arrived from the client of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// A signal for the payload.
    Signal(Signal),
    /// No complete frame.
    Nothing,
    /// The end of the connection, or bytes that are no frame.
    End,
}

impl Connection {
    /// Takes over a connected socket.
    pub(crate) fn new(socket: OwnedFd) -> Result<Connection> {
        socket::set_timeouts(&socket, TIMEOUT)
            .map_err(|cause| Refusal::internal(format!("cannot use the connection: {cause}")))?;
        Ok(Connection { socket, pending: Vec::new() })
    }

    /// Reads the request, with exactly the descriptors that it needs.
    pub(crate) fn request(&self) -> Result<(Request, Vec<OwnedFd>)> {
        let deadline = Instant::now() + TIMEOUT;
        let mut descriptors = Vec::new();
        let mut field = [0; 4];
        self.read(&mut field, &mut descriptors, deadline)?;
        let length = daemon::length(field, MAX_REQUEST).map_err(invalid)?;
        // As much as has arrived at most: a client that names a length and sends nothing gets none.
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let mut part = [0; 16 << 10];
            let part = &mut part[..(length - bytes.len()).min(16 << 10)];
            let read = self.read_some(part, &mut descriptors, deadline)?;
            bytes.extend_from_slice(&part[..read]);
        }
        let request = Request::decode(&bytes).map_err(invalid)?;
        if descriptors.len() != request.descriptors() {
            return Err(Refusal::client(format!(
                "the request has {} descriptors and needs {}",
                descriptors.len(),
                request.descriptors()
            )));
        }
        Ok((request, descriptors))
    }

    fn read(
        &self,
        bytes: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        deadline: Instant,
    ) -> Result<()> {
        let mut filled = 0;
        while filled < bytes.len() {
            filled += self.read_some(&mut bytes[filled..], descriptors, deadline)?;
        }
        Ok(())
    }

    fn read_some(
        &self,
        bytes: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        deadline: Instant,
    ) -> Result<usize> {
        if Instant::now() > deadline {
            return Err(Refusal::client("the request did not arrive in time"));
        }
        let (length, ancillary) =
            socket::receive_message(&self.socket, bytes).map_err(|cause| match cause {
                Errno::EAGAIN => Refusal::client("the request did not arrive in time"),
                cause => Refusal::internal(format!("cannot read the request: {cause}")),
            })?;
        descriptors.extend(ancillary.descriptors);
        if descriptors.len() > MOST {
            return Err(Refusal::client("the request has too many descriptors"));
        }
        match length {
            0 => Err(Refusal::client("the connection ended before the request")),
            length => Ok(length),
        }
    }

    /// Sends an answer. Whether the client can have got it.
    pub(crate) fn send(&self, answer: &Answer) -> bool {
        socket::send_all(&self.socket, &answer.encode()).is_ok()
    }

    /// Whether the client has ended the connection.
    pub(crate) fn is_closed(&self) -> bool {
        socket::is_closed(&self.socket)
    }

    /// The next signal from the client, without a wait.
    pub(crate) fn signal(&mut self) -> Arrived {
        loop {
            if let Some(arrived) = self.take_pending() {
                return arrived;
            }
            let mut part = [0; 256];
            match socket::try_receive(&self.socket, &mut part) {
                Ok(None) => return Arrived::Nothing,
                Ok(Some(0)) | Err(_) => return Arrived::End,
                Ok(Some(length)) => self.pending.extend_from_slice(&part[..length]),
            }
        }
    }

    /// Waits until `other` or the connection can be read, and returns which; with `is_open` unset
    /// only `other` is waited for. At the deadline it returns none of both.
    pub(crate) fn wait_with(
        &self,
        other: BorrowedFd<'_>,
        is_open: bool,
        deadline: Option<Instant>,
    ) -> [bool; 2] {
        if is_open && self.has_frame() {
            return [false, true];
        }
        let own = if is_open { self.socket.as_fd() } else { other };
        // An interruption is none of both.
        let [is_other, is_own] = fd::poll_readable([other, own], deadline).unwrap_or_default();
        [is_other, is_open && is_own]
    }

    /// Whether a complete frame, or one that cannot be, has arrived.
    fn has_frame(&self) -> bool {
        let Some((field, rest)) = self.pending.split_first_chunk::<4>() else { return false };
        daemon::length(*field, MAX_SIGNAL).map_or(true, |length| rest.len() >= length)
    }

    /// The first complete frame of the bytes that have arrived.
    fn take_pending(&mut self) -> Option<Arrived> {
        let (field, rest) = self.pending.split_first_chunk::<4>()?;
        let Ok(length) = daemon::length(*field, MAX_SIGNAL) else { return Some(Arrived::End) };
        let frame = rest.get(..length)?;
        let arrived = Signal::decode(frame).map_or(Arrived::End, Arrived::Signal);
        self.pending.drain(..4 + length);
        Some(arrived)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn invalid(invalid: Invalid) -> Refusal {
    match invalid {
        Invalid::Version(other) => Refusal::internal(format!(
            "the daemon speaks version {VERSION} of the protocol, and the client version {other}: \
             install the same version of both"
        )),
        Invalid::Malformed => Refusal::client("the request is not one of the protocol"),
    }
}
