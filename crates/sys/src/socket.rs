//! Stream sockets between two processes of this machine (unix(7)).

use std::io::{IoSlice, IoSliceMut};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{
    self, AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag,
    SockType, UnixCredentials, sockopt,
};
use nix::sys::time::TimeVal;

use super::{Errno, Passed, Pid, Result, Uid, passed};

/// Two connected sockets, both close-on-exec.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    socket::socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
}

/// Whether a descriptor is a stream socket of this machine.
pub fn is_local_stream(fd: &impl AsFd) -> bool {
    socket::getsockopt(fd, sockopt::SockType) == Ok(SockType::Stream)
        && socket::getsockname::<socket::UnixAddr>(fd.as_fd().as_raw_fd()).is_ok()
}

/// Who has made a pair of sockets, as a number of this process's user namespace (SO_PEERCRED,
/// unix(7)).
pub fn maker(fd: &impl AsFd) -> Result<Uid> {
    socket::getsockopt(fd, sockopt::PeerCredentials).map(|made| Uid::from_raw(made.uid()))
}

/// Lets no call on the socket wait longer than this: it fails with EAGAIN then.
pub fn limit_waiting(fd: &impl AsFd, limit: Duration) -> Result<()> {
    let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
    let limit = TimeVal::new(seconds, i64::from(limit.subsec_micros()));
    socket::setsockopt(fd, sockopt::ReceiveTimeout, &limit)?;
    socket::setsockopt(fd, sockopt::SendTimeout, &limit)
}

/// Has the kernel attach the sender's credentials to what arrives from now on (SO_PASSCRED), or no
/// longer.
pub fn receive_credentials(fd: &impl AsFd, on: bool) -> Result<()> {
    socket::setsockopt(fd, sockopt::PassCred, &on)
}

/// Sends all bytes. EPIPE, and no signal, if the other end is gone.
pub fn send_all(fd: &impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match socket::send(fd.as_fd().as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::EINTR) => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// Sends a few bytes, or none where that would have to wait.
pub fn try_send(fd: &impl AsFd, bytes: &[u8]) -> Result<()> {
    match socket::send(
        fd.as_fd().as_raw_fd(),
        bytes,
        MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
    ) {
        Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
        Err(cause) => Err(cause),
    }
}

/// Says that this end sends nothing more: the other end sees the end of file, and can still be
/// heard.
pub fn end_sending(fd: &impl AsFd) -> Result<()> {
    socket::shutdown(fd.as_fd().as_raw_fd(), Shutdown::Write)
}

/// Whether the other end neither sends nor hears anything any more.
pub fn is_closed(fd: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(fd.as_fd(), PollFlags::empty())];
    // POLLHUP is always told (poll(2)); a failure tells nothing.
    let told = nix::poll::poll(&mut polled, PollTimeout::ZERO);
    told.is_ok() && polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

/// As [`send_all`], with a descriptor beside the first byte. ETOOMANYREFS if this user has too many
/// on their way.
pub fn send_with(fd: &impl AsFd, bytes: &[u8], descriptor: &impl AsFd) -> Result<()> {
    let beside = [descriptor.as_fd().as_raw_fd()];
    loop {
        let vector = [IoSlice::new(bytes)];
        let control = [ControlMessage::ScmRights(&beside)];
        match socket::sendmsg::<()>(
            fd.as_fd().as_raw_fd(),
            &vector,
            &control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Ok(sent) => return send_all(fd, &bytes[sent..]),
            Err(Errno::EINTR) => {}
            Err(cause) => return Err(cause),
        }
    }
}

/// Receives at most as many bytes as fit; 0 at the end. An end that was closed without having read
/// everything shows as ECONNRESET to its peer: that is an end, too.
pub fn receive(fd: &impl AsFd, bytes: &mut [u8]) -> Result<usize> {
    loop {
        match socket::recv(fd.as_fd().as_raw_fd(), bytes, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET | Errno::EPIPE) => return Ok(0),
            result => return result,
        }
    }
}

/// As [`receive`], but it waits for nothing: none if nothing has come.
pub fn try_receive(fd: &impl AsFd, bytes: &mut [u8]) -> Result<Option<usize>> {
    match socket::recv(fd.as_fd().as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT) {
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(Errno::ECONNRESET | Errno::EPIPE) => Ok(Some(0)),
        received => received.map(Some),
    }
}

/// As [`receive`], with all descriptors that come beside the bytes. None is left to the kernel:
/// what it discards it closes on our time, and that can take as long as the sender likes (see
/// [`Passed`]).
pub fn receive_passed(
    fd: &impl AsFd,
    bytes: &mut [u8],
    passed: &mut Vec<Passed>,
    room: &mut RoomForPassed,
) -> Result<usize> {
    let (length, beside) = receive_beside(fd, bytes, &mut room.0)?;
    passed.extend(beside.descriptors.into_iter().map(Passed::new));
    Ok(length)
}

/// Room for what comes beside the bytes of one message, to be used again.
#[derive(Debug)]
pub struct RoomForPassed(Vec<u8>);

impl RoomForPassed {
    /// As much as one message can carry.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        RoomForPassed(nix::cmsg_space!([RawFd; MOST_PASSED]))
    }
}

/// Who has sent something, as the kernel says (SCM_CREDENTIALS, unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The user id.
    pub uid: Uid,
    /// The number of the process, as this one sees it.
    pub pid: Pid,
}

/// As [`receive_passed`], with the sender, whom [`receive_credentials`] has asked for.
pub fn receive_from(
    fd: &impl AsFd,
    bytes: &mut [u8],
    passed: &mut Vec<Passed>,
) -> Result<(usize, Option<Sender>)> {
    let mut space = nix::cmsg_space!(UnixCredentials, [RawFd; MOST_PASSED]);
    let (length, beside) = receive_beside(fd, bytes, &mut space)?;
    passed.extend(beside.descriptors.into_iter().map(Passed::new));
    Ok((length, beside.sender))
}

/// One end of a connection. When it is dropped the other end sees it closed; but if something has
/// arrived that was not read, descriptors may be with it, and closing the socket would close them:
/// then it stays open until this process has ended (see [`Passed`]).
#[derive(Debug)]
pub struct Connected(ManuallyDrop<OwnedFd>);

impl Connected {
    /// Takes over a connected socket.
    pub fn new(socket: OwnedFd) -> Self {
        Connected(ManuallyDrop::new(socket))
    }
}

impl AsFd for Connected {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        // Nothing more arrives after this.
        let _ = socket::shutdown(self.0.as_raw_fd(), Shutdown::Both);
        match socket::recv(
            self.0.as_raw_fd(),
            &mut [0],
            MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(1..) => passed::close_after_death(),
            // SAFETY: it is not used after this.
            _ => drop(unsafe { ManuallyDrop::take(&mut self.0) }),
        }
    }
}

/// The most descriptors that one message can carry (SCM_MAX_FD, unix(7)).
const MOST_PASSED: usize = 253;

/// What came beside the bytes of one message.
#[derive(Debug, Default)]
pub struct Beside {
    /// Descriptors (SCM_RIGHTS), close-on-exec; ours to close.
    pub descriptors: Vec<OwnedFd>,
    /// Who has sent it, where that was asked for.
    sender: Option<Sender>,
}

/// As [`receive`], with what comes beside the bytes.
pub fn receive_message(fd: &impl AsFd, bytes: &mut [u8]) -> Result<(usize, Beside)> {
    // Room for all of them, so that all are closed.
    let mut space = nix::cmsg_space!([RawFd; MOST_PASSED]);
    receive_beside(fd, bytes, &mut space)
}

fn receive_beside(fd: &impl AsFd, bytes: &mut [u8], space: &mut [u8]) -> Result<(usize, Beside)> {
    let raw: RawFd = fd.as_fd().as_raw_fd();
    loop {
        let mut vector = [IoSliceMut::new(bytes)];
        let received =
            socket::recvmsg::<()>(raw, &mut vector, Some(space), MsgFlags::MSG_CMSG_CLOEXEC);
        let message = match received {
            Err(Errno::EINTR) => continue,
            Err(Errno::ECONNRESET | Errno::EPIPE) => return Ok((0, Beside::default())),
            result => result?,
        };
        let mut beside = Beside::default();
        // More than there was room for: what the kernel has let in all the same is nobody's, and
        // must not delay our end.
        let controls = message.cmsgs().inspect_err(|_| passed::close_after_death())?;
        for control in controls {
            match control {
                ControlMessageOwned::ScmRights(numbers) => {
                    beside.descriptors.extend(numbers.into_iter().map(|number| {
                        // SAFETY: the kernel has just put this descriptor into our table, and
                        // nobody else knows of it.
                        unsafe { OwnedFd::from_raw_fd(number) }
                    }))
                }
                ControlMessageOwned::ScmCredentials(credentials) => {
                    beside.sender = Some(Sender {
                        uid: Uid::from_raw(credentials.uid()),
                        pid: Pid::from_raw(credentials.pid()),
                    });
                }
                _ => {}
            }
        }
        return Ok((message.bytes, beside));
    }
}
