//! Descriptors: pipes, and what can be asked of a descriptor.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Instant;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::{Errno, Result};

/// A pipe: the end to read from, and the end to write to. Both are close-on-exec.
pub fn pipe() -> Result<(File, File)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((File::from(reader), File::from(writer)))
}

/// As [`pipe`]; both ends are non-blocking. A write to a full pipe fails with EAGAIN: the writer
/// need not wait for a reader.
pub fn nonblocking_pipe() -> Result<(File, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    Ok((File::from(reader), writer))
}

/// As [`pipe`]; a read from the empty pipe fails with EAGAIN, and a writer waits for room.
pub fn pipe_with_nonblocking_reader() -> Result<(File, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((File::from(reader), writer))
}

/// Waits until some of these descriptors can be read from, or are at their end, and returns which
/// ones; no longer than until `deadline`, and never longer than 65 seconds at a time with one.
/// EINTR if a signal arrives.
pub fn poll_readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    deadline: Option<Instant>,
) -> Result<[bool; N]> {
    let mut polled = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    nix::poll::poll(&mut polled, deadline.map_or(PollTimeout::NONE, poll_timeout))?;
    Ok(polled.map(|polled| polled.any().unwrap_or(true)))
}

/// As [`poll_readable`], of any number of descriptors.
pub fn poll_all_readable(fds: &[BorrowedFd<'_>], deadline: Option<Instant>) -> Result<Vec<bool>> {
    let mut polled: Vec<PollFd> =
        fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    nix::poll::poll(&mut polled, deadline.map_or(PollTimeout::NONE, poll_timeout))?;
    Ok(polled.iter().map(|polled| polled.any().unwrap_or(true)).collect())
}

/// The time until a deadline, at most 65 seconds, as poll(2) takes it. It is rounded up: after a
/// wait that ends too early the caller would poll again and again without a wait.
pub(super) fn poll_timeout(deadline: Instant) -> PollTimeout {
    let left = deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
    PollTimeout::from(u16::try_from(left).unwrap_or(u16::MAX))
}

/// Whether no process has the other end of this pipe open to read.
pub fn has_no_reader(writer: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(writer.as_fd(), PollFlags::empty())];
    let ready = nix::poll::poll(&mut polled, PollTimeout::ZERO);
    ready.is_ok() && polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// Whether a descriptor is open to write.
pub fn is_writable(file: &impl AsFd) -> Result<bool> {
    let flags = OFlag::from_bits_truncate(fcntl(file, FcntlArg::F_GETFL)?);
    Ok(flags & OFlag::O_ACCMODE != OFlag::O_RDONLY)
}

/// Closes a descriptor, and returns the error that a file system may report only then (a full disk
/// on NFS, a quota).
pub fn close(fd: OwnedFd) -> Result<()> {
    match nix::unistd::close(fd) {
        // Linux closes the descriptor also when it returns EINTR (close(2)).
        Err(Errno::EINTR) | Ok(()) => Ok(()),
        Err(cause) => Err(cause),
    }
}

/// The path of an open file in this process's mount namespace, without symbolic links, as the
/// kernel shows it (proc_pid_fd(5)); with ` (deleted)` at its end if the file has no name any more.
pub fn path_of(fd: &impl AsFd) -> Result<PathBuf> {
    std::fs::read_link(proc_path(fd.as_fd())).map_err(|error| super::errno(&error))
}

/// The path of an open descriptor in /proc, for calls that take a path only.
pub(super) fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The id of the mount that an open file is on (proc_pid_fdinfo(5)); none if the kernel does not
/// show it.
pub(super) fn mount_id(fd: &impl AsFd) -> Option<u64> {
    let text = super::proc::read(&format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}
