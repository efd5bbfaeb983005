//! Descriptors of this process.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Errno, Result};

/// Closes every descriptor above 2 at the next exec, whoever opened it: nothing of a caller's leaks
/// to what we start.
pub fn close_above_2_on_exec() -> Result<()> {
    // SAFETY: marks descriptors close-on-exec and closes none; the arguments are plain numbers.
    let status = unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    match Errno::result(status) {
        Ok(_) => Ok(()),
        // Before Linux 5.11, or under a seccomp filter that does not know the call.
        Err(Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => close_listed_on_exec(),
        Err(cause) => Err(cause),
    }
}

/// The same, descriptor by descriptor.
fn close_listed_on_exec() -> Result<()> {
    let listing = std::fs::read_dir("/proc/self/fd").map_err(|error| super::errno(&error))?;
    let numbers =
        listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2) {
        // SAFETY: the number is only used for this call; one that was closed meanwhile gives EBADF.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Closes every descriptor but these, and puts the null device in the places of standard input,
/// output and error: for a process that must not keep anything open of what it has from its parent.
pub(super) fn close_all_but(keep: &[BorrowedFd<'_>]) -> Result<()> {
    close_standard()?;
    close_above_2_but(keep)
}

/// The same without an exception.
pub(super) fn close_all() -> Result<()> {
    close_standard()?;
    close_above_2_but(&[])
}

/// Closes every descriptor above 2 but these: for a process in which whoever owned them never runs
/// again, or has not begun to.
pub fn close_above_2_but(keep: &[BorrowedFd<'_>]) -> Result<()> {
    let mut keep: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect();
    keep.sort_unstable();
    let mut first = 3;
    for next in keep.iter().copied().chain([u32::MAX]) {
        if first < next {
            // SAFETY: by contract nobody uses what is closed here.
            let closed = unsafe { libc::syscall(libc::SYS_close_range, first, next - 1, 0) };
            match Errno::result(closed) {
                Err(Errno::ENOSYS | Errno::EPERM) => return close_listed_but(&keep),
                closed => closed.map(drop)?,
            }
        }
        first = first.max(next.saturating_add(1));
    }
    Ok(())
}

/// The same, descriptor by descriptor.
fn close_listed_but(keep: &[u32]) -> Result<()> {
    let listing = std::fs::read_dir("/proc/self/fd").map_err(|error| super::errno(&error))?;
    let numbers =
        listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for number in numbers.collect::<Vec<_>>() {
        if number > 2 && !keep.contains(&number) {
            // SAFETY: as above.
            unsafe { libc::close(number as libc::c_int) };
        }
    }
    Ok(())
}

/// Puts the null device in the places of standard input, output and error, for a process that stays
/// without using them.
pub fn close_standard() -> Result<()> {
    close_places(0..=2)
}

/// The same, but for standard error.
pub fn close_input_and_output() -> Result<()> {
    close_places(0..=1)
}

fn close_places(places: std::ops::RangeInclusive<i32>) -> Result<()> {
    let null = nix::fcntl::open(
        "/dev/null",
        OFlag::O_RDWR | OFlag::O_CLOEXEC,
        nix::sys::stat::Mode::empty(),
    )?;
    for place in places {
        // SAFETY: dup2 onto 0, 1 or 2, which the standard library does not own.
        Errno::result(unsafe { libc::dup2(null.as_raw_fd(), place) })?;
    }
    Ok(())
}

/// A pipe, both ends close-on-exec: to read, and to write.
pub fn pipe() -> Result<(File, File)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((File::from(reader), File::from(writer)))
}

/// Waits until one of two descriptors can be read, or has come to its end: which. EINTR if a signal
/// has come.
pub fn wait_for_either(one: &impl AsFd, other: &impl AsFd) -> Result<(bool, bool)> {
    wait_for_any([one.as_fd(), other.as_fd()], None).map(|[one, other]| (one, other))
}

/// Waits until one of these descriptors can be read, or has come to its end, and no longer than
/// until then: which. EINTR if a signal has come.
pub fn wait_for_any<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    until: Option<Instant>,
) -> Result<[bool; N]> {
    let mut polled = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    // Rounded up: a wait that ends too early would be repeated at once, again and again. The
    // longest is 65 seconds; the caller repeats it.
    let left = until
        .map(|until| until.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000));
    let left = left.map_or(PollTimeout::NONE, |left| {
        PollTimeout::from(u16::try_from(left).unwrap_or(u16::MAX))
    });
    nix::poll::poll(&mut polled, left)?;
    Ok(polled.map(|polled| polled.any().unwrap_or(true)))
}

/// Whether nobody reads from this pipe any more.
pub fn is_unheard(writer: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(writer.as_fd(), PollFlags::empty())];
    let told = nix::poll::poll(&mut polled, PollTimeout::ZERO);
    told.is_ok() && polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// How a file is locked.
#[derive(Clone, Copy, Debug)]
pub enum Lock {
    /// Against all others.
    Alone,
    /// Against those that lock it alone.
    Together,
}

/// Locks a file against other processes that do the same (flock(2)); EAGAIN if one keeps it for so
/// long.
pub fn lock(file: &File, how: Lock, patience: Duration) -> Result<()> {
    let end = Instant::now() + patience;
    let how = match how {
        Lock::Alone => libc::LOCK_EX,
        Lock::Together => libc::LOCK_SH,
    };
    loop {
        // SAFETY: the descriptor is open for as long as it is borrowed.
        match Errno::result(unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) }) {
            Err(Errno::EWOULDBLOCK) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(1))
            }
            Err(Errno::EINTR) => {}
            locked => return locked.map(drop),
        }
    }
}

/// Unlocks it, whoever else has a copy of the descriptor.
pub fn unlock(file: &File) {
    // SAFETY: as above.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
}

/// Whether an open file may be written through this descriptor.
pub fn may_be_written(file: &impl AsFd) -> Result<bool> {
    let flags = OFlag::from_bits_truncate(fcntl(file, FcntlArg::F_GETFL)?);
    Ok(flags & OFlag::O_ACCMODE != OFlag::O_RDONLY)
}

/// Takes over descriptor 0, which a program behind a switcher got from its caller, and leaves it
/// close-on-exec.
///
/// To be called once: two owners of one number would close each other's file.
pub fn take_standard_input() -> Result<OwnedFd> {
    // SAFETY: the standard library opens 0, 1 and 2 at start where they are closed, so 0 is open;
    // nothing else in the programs that call this uses standard input.
    let fd = unsafe { OwnedFd::from_raw_fd(0) };
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(fd)
}

/// Puts three files in the places of standard input, output and error, for the program to be
/// executed next.
pub fn place_standard(files: &[OwnedFd; 3]) -> Result<()> {
    for (place, file) in files.iter().enumerate() {
        // SAFETY: dup2 onto 0, 1 or 2. `files` were all opened while 0, 1 and 2 were, so none of
        // them has such a number and none is overwritten before its turn.
        let status = unsafe { libc::dup2(file.as_raw_fd(), place as libc::c_int) };
        Errno::result(status)?;
    }
    Ok(())
}

/// A pipe whose writer is never made to wait: what does not fit is lost (its writer sees EAGAIN).
///
/// It is for what a switcher says. Nobody reads while the switcher works, so a talkative one must
/// not get stuck.
pub fn lossy_pipe() -> Result<(File, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    Ok((File::from(reader), writer))
}

/// Lets this process have as many descriptors as its caller's hard limit allows; returns how many
/// it could have before.
pub fn raise_limit() -> Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(soft)
}

/// How many descriptors this process may have (its soft limit, RLIMIT_NOFILE).
pub fn soft_limit() -> Result<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).map(|(soft, _)| soft)
}

/// Lets this process, and what it executes, have no more than so many descriptors, unless it asks
/// for more.
pub fn set_soft_limit(descriptors: u64) -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, descriptors, hard)
}

/// Closes a descriptor and reports the error that a file system may keep until then (a full disk on
/// NFS, a quota).
pub fn close(fd: OwnedFd) -> Result<()> {
    match nix::unistd::close(fd) {
        // Linux closes the descriptor also when it says EINTR (close(2)).
        Err(Errno::EINTR) | Ok(()) => Ok(()),
        Err(cause) => Err(cause),
    }
}

/// The path under which the kernel shows an open descriptor, to call by path what has no call by
/// descriptor.
pub(super) fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The number of the mount that a descriptor is on (proc_pid_fdinfo(5)), where the kernel tells.
pub(super) fn mount_of(fd: &impl AsFd) -> Option<u64> {
    let text =
        std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}
