//! Stream sockets between two processes of one machine (unix(7)).

use std::io::{IoSlice, IoSliceMut};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{
    self, AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag,
    SockType, UnixCredentials, sockopt,
};
use nix::sys::time::TimeVal;

use super::switch::Identity;
use super::{Errno, Gid, Passed, Pid, Result, Uid, passed};

/// Two connected sockets, both close-on-exec.
pub fn socketpair() -> Result<(OwnedFd, OwnedFd)> {
    socket::socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
}

/// Whether a descriptor is a stream socket of the UNIX domain.
pub fn is_unix_stream(fd: &impl AsFd) -> bool {
    socket::getsockopt(fd, sockopt::SockType) == Ok(SockType::Stream)
        && socket::getsockname::<socket::UnixAddr>(fd.as_fd().as_raw_fd()).is_ok()
}

/// The user that made a pair of sockets, as this process's user namespace maps it (SO_PEERCRED,
/// unix(7)).
pub fn peer_uid(fd: &impl AsFd) -> Result<Uid> {
    socket::getsockopt(fd, sockopt::PeerCredentials).map(|peer| Uid::from_raw(peer.uid()))
}

/// The process at the other end of a connection to a listening socket, as it was when it connected
/// (SO_PEERCRED, SO_PEERGROUPS, unix(7)): no user can choose these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user and groups.
    pub identity: Identity,
    /// Its process id. The process may have ended since.
    pub pid: Pid,
}

/// Who is at the other end of a connection.
pub fn peer(fd: &impl AsFd) -> Result<Peer> {
    let found = socket::getsockopt(fd, sockopt::PeerCredentials)?;
    let identity = Identity {
        user: Uid::from_raw(found.uid()),
        group: Gid::from_raw(found.gid()),
        groups: peer_groups(fd)?,
    };
    Ok(Peer { identity, pid: Pid::from_raw(found.pid()) })
}

/// The supplementary groups of the peer.
fn peer_groups(fd: &impl AsFd) -> Result<Vec<Gid>> {
    /// As many as an account has as a rule.
    const FEW: usize = 64;
    /// NGROUPS_MAX (limits.h(0p)).
    const MOST: usize = 65_536;
    match peer_groups_up_to(fd, FEW) {
        Err(Errno::ERANGE) => peer_groups_up_to(fd, MOST),
        found => found,
    }
}

/// The same, if there are at most so many: else ERANGE. nix has no such option.
fn peer_groups_up_to(fd: &impl AsFd, most: usize) -> Result<Vec<Gid>> {
    let mut groups = vec![0 as libc::gid_t; most];
    let mut length = (groups.len() * size_of::<libc::gid_t>()) as libc::socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed; the buffer has `length` bytes, of
    // which the call writes some and says how many.
    let status = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(status)?;
    groups.truncate(length as usize / size_of::<libc::gid_t>());
    Ok(groups.into_iter().map(Gid::from_raw).collect())
}

/// Connects to a listening socket at a path. EAGAIN if its queue is full as long as `timeout`.
pub fn connect(path: &Path, timeout: Duration) -> Result<OwnedFd> {
    let end = Instant::now() + timeout;
    let address = socket::UnixAddr::new(path)?;
    loop {
        // Non-blocking: connect(2) would wait for room in the queue without limit.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let made = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        match socket::connect(made.as_raw_fd(), &address) {
            Err(Errno::EAGAIN | Errno::EINTR) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            connected => {
                connected?;
                fcntl(&made, FcntlArg::F_SETFL(OFlag::empty()))?;
                return Ok(made);
            }
        }
    }
}

/// Makes a listening socket at a path where nothing is.
pub fn listen(path: &Path, backlog: i32) -> Result<OwnedFd> {
    let made = socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::bind(made.as_raw_fd(), &socket::UnixAddr::new(path)?)?;
    socket::listen(&made, socket::Backlog::new(backlog)?)?;
    Ok(made)
}

/// Whether a descriptor is a stream socket of the UNIX domain that listens (SO_ACCEPTCONN).
pub fn is_listening(fd: &impl AsFd) -> bool {
    is_unix_stream(fd) && socket::getsockopt(fd, sockopt::AcceptConn) == Ok(true)
}

/// The next connection to a listening socket. EAGAIN if there is none, where the socket does not
/// block ([`set_nonblocking`]).
pub fn accept(listener: &impl AsFd) -> Result<OwnedFd> {
    let number = socket::accept4(listener.as_fd().as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: this process has just received the descriptor: it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A call on the socket that would wait fails with EAGAIN instead (O_NONBLOCK).
pub fn set_nonblocking(fd: &impl AsFd) -> Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

/// A call on the socket fails with EAGAIN if it waits longer than this (SO_RCVTIMEO, SO_SNDTIMEO).
pub fn set_timeouts(fd: &impl AsFd, limit: Duration) -> Result<()> {
    let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
    let limit = TimeVal::new(seconds, i64::from(limit.subsec_micros()));
    socket::setsockopt(fd, sockopt::ReceiveTimeout, &limit)?;
    socket::setsockopt(fd, sockopt::SendTimeout, &limit)
}

/// Whether [`receive_from`] gets the sender of what arrives from now on (SO_PASSCRED, unix(7)).
pub fn set_passcred(fd: &impl AsFd, on: bool) -> Result<()> {
    socket::setsockopt(fd, sockopt::PassCred, &on)
}

/// Sends all bytes. EPIPE, without SIGPIPE, if the other end is closed.
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

/// Sends a few bytes, if that is possible without a wait.
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

/// Ends the sending: the other end reads the end of file. This end can still receive.
pub fn shutdown_write(fd: &impl AsFd) -> Result<()> {
    socket::shutdown(fd.as_fd().as_raw_fd(), Shutdown::Write)
}

/// Whether the other end is closed, or shut down for both directions.
pub fn is_closed(fd: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(fd.as_fd(), PollFlags::empty())];
    // poll(2) reports POLLHUP without a request.
    let ready = nix::poll::poll(&mut polled, PollTimeout::ZERO);
    ready.is_ok() && polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

/// As [`send_all`], and passes a descriptor with the first byte (SCM_RIGHTS). ETOOMANYREFS if this
/// user has passed too many that were not received yet.
pub fn send_with_descriptor(fd: &impl AsFd, bytes: &[u8], descriptor: &impl AsFd) -> Result<()> {
    send_with_descriptors(fd, bytes, &[descriptor.as_fd()])
}

/// As [`send_with_descriptor`], with several descriptors, in their order.
pub fn send_with_descriptors(
    fd: &impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<()> {
    let passed: Vec<RawFd> = descriptors.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
    loop {
        let vector = [IoSlice::new(bytes)];
        let control = [ControlMessage::ScmRights(&passed)];
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

/// Receives at most as many bytes as fit; 0 at the end. ECONNRESET is an end, too: the other end
/// was closed before it had read everything.
pub fn receive(fd: &impl AsFd, bytes: &mut [u8]) -> Result<usize> {
    loop {
        match socket::recv(fd.as_fd().as_raw_fd(), bytes, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET | Errno::EPIPE) => return Ok(0),
            result => return result,
        }
    }
}

/// As [`receive`], without a wait: none if nothing has arrived.
pub fn try_receive(fd: &impl AsFd, bytes: &mut [u8]) -> Result<Option<usize>> {
    match socket::recv(fd.as_fd().as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT) {
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(Errno::ECONNRESET | Errno::EPIPE) => Ok(Some(0)),
        received => received.map(Some),
    }
}

/// As [`receive`], with all descriptors that arrive with the bytes. There is room for all of them:
/// the kernel would close the others during this call, and the sender can delay that without limit
/// (see [`Passed`]).
pub fn receive_passed(
    fd: &impl AsFd,
    bytes: &mut [u8],
    passed: &mut Vec<Passed>,
    buffer: &mut ControlBuffer,
) -> Result<usize> {
    let (length, ancillary) = receive_ancillary(fd, bytes, &mut buffer.0)?;
    passed.extend(ancillary.descriptors.into_iter().map(Passed::new));
    Ok(length)
}

/// A buffer for the ancillary data of one message, to be used again.
#[derive(Debug)]
pub struct ControlBuffer(Vec<u8>);

impl ControlBuffer {
    /// For as many descriptors as one message can pass.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        ControlBuffer(nix::cmsg_space!([RawFd; SCM_MAX_FD]))
    }
}

/// The sender of a message, as the kernel reports it (SCM_CREDENTIALS, unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The user id.
    pub uid: Uid,
    /// The process id, as this process's pid namespace maps it.
    pub pid: Pid,
}

/// As [`receive_passed`], with the sender, after [`set_passcred`].
pub fn receive_from(
    fd: &impl AsFd,
    bytes: &mut [u8],
    passed: &mut Vec<Passed>,
) -> Result<(usize, Option<Sender>)> {
    let mut space = nix::cmsg_space!(UnixCredentials, [RawFd; SCM_MAX_FD]);
    let (length, ancillary) = receive_ancillary(fd, bytes, &mut space)?;
    passed.extend(ancillary.descriptors.into_iter().map(Passed::new));
    Ok((length, ancillary.sender))
}

/// One end of a connection. When it is dropped the connection is shut down. If bytes have arrived
/// that were not read, descriptors may have arrived with them, and to close the socket would close
/// them: then the socket stays open until this process has ended (see [`Passed`]).
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
        // Nothing arrives after this.
        let _ = socket::shutdown(self.0.as_raw_fd(), Shutdown::Both);
        match socket::recv(
            self.0.as_raw_fd(),
            &mut [0],
            MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(1..) => passed::close_after_exit(),
            // SAFETY: the field is not used after this.
            _ => drop(unsafe { ManuallyDrop::take(&mut self.0) }),
        }
    }
}

/// How many descriptors one message can pass (SCM_MAX_FD, unix(7)).
const SCM_MAX_FD: usize = 253;

/// The ancillary data of one message (cmsg(3)).
#[derive(Debug, Default)]
pub struct Ancillary {
    /// Descriptors (SCM_RIGHTS), close-on-exec.
    pub descriptors: Vec<OwnedFd>,
    /// The sender, after [`set_passcred`].
    sender: Option<Sender>,
}

/// As [`receive`], with the ancillary data.
pub fn receive_message(fd: &impl AsFd, bytes: &mut [u8]) -> Result<(usize, Ancillary)> {
    let mut space = nix::cmsg_space!([RawFd; SCM_MAX_FD]);
    receive_ancillary(fd, bytes, &mut space)
}

fn receive_ancillary(
    fd: &impl AsFd,
    bytes: &mut [u8],
    space: &mut [u8],
) -> Result<(usize, Ancillary)> {
    let raw: RawFd = fd.as_fd().as_raw_fd();
    loop {
        let mut vector = [IoSliceMut::new(bytes)];
        let received =
            socket::recvmsg::<()>(raw, &mut vector, Some(space), MsgFlags::MSG_CMSG_CLOEXEC);
        let message = match received {
            Err(Errno::EINTR) => continue,
            Err(Errno::ECONNRESET | Errno::EPIPE) => return Ok((0, Ancillary::default())),
            result => result?,
        };
        let mut ancillary = Ancillary::default();
        // Fails if there was more than there was room for. The descriptors that this process got
        // all the same have no owner, and must not delay its end.
        let controls = message.cmsgs().inspect_err(|_| passed::close_after_exit())?;
        for control in controls {
            match control {
                ControlMessageOwned::ScmRights(numbers) => {
                    ancillary.descriptors.extend(numbers.into_iter().map(|number| {
                        // SAFETY: this process has just received the descriptor: it has no other
                        // owner.
                        unsafe { OwnedFd::from_raw_fd(number) }
                    }))
                }
                ControlMessageOwned::ScmCredentials(credentials) => {
                    ancillary.sender = Some(Sender {
                        uid: Uid::from_raw(credentials.uid()),
                        pid: Pid::from_raw(credentials.pid()),
                    });
                }
                _ => {}
            }
        }
        return Ok((message.bytes, ancillary));
    }
}
