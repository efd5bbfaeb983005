//! Waiting for children (wait(2)), and how a process ended.

use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::signal::SIGKILL;
use super::{Errno, Pid, Result};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl End {
    /// As one number: 128 + N for signal N, as shells do.
    pub fn status(self) -> i32 {
        match self {
            End::Exited(status) => status,
            End::Killed(signal) => 128 + signal,
        }
    }

    /// For a pipe between processes of one program: the status, or the signal as a negative number.
    pub fn to_bytes(self) -> [u8; 4] {
        match self {
            End::Exited(status) => status.to_ne_bytes(),
            End::Killed(signal) => (-signal).to_ne_bytes(),
        }
    }

    /// Reads the bytes of [`End::to_bytes`].
    pub fn from_bytes(bytes: [u8; 4]) -> End {
        match i32::from_ne_bytes(bytes) {
            signal @ ..0 => End::Killed(-signal),
            status => End::Exited(status),
        }
    }
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => End::Exited(code),
            None => End::Killed(status.signal().unwrap_or(0)),
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Exited(status) => write!(f, "exited {status}"),
            End::Killed(signal) => write!(f, "killed {signal}"),
        }
    }
}

/// Waits until a child has ended.
pub fn wait(pid: Pid) {
    let _ = waitpid(pid, 0);
}

/// Whether a child has ended; then it was waited for.
pub fn try_wait(pid: Pid) -> bool {
    waitpid(pid, libc::WNOHANG) != Ok(None)
}

/// How a child has ended, if it has; then it was waited for.
pub fn try_wait_for(pid: Pid) -> Result<Option<End>> {
    Ok(waitpid(pid, libc::WNOHANG)?.map(|(_, status)| status.into()))
}

/// Whether a child has ended; it is not waited for, so no other process gets its id yet.
pub fn has_ended(pid: Pid) -> bool {
    let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(pid), flags) != Ok(WaitStatus::StillAlive)
}

/// A child that has ended and was not waited for yet, and how it ended; none if there is none.
pub fn try_wait_any() -> Option<(Pid, End)> {
    let (pid, status) = waitpid(Pid::from_raw(-1), libc::WNOHANG).ok()??;
    Some((pid, status.into()))
}

/// The processor time of processes that were waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// In user mode.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
}

impl std::ops::AddAssign for Times {
    fn add_assign(&mut self, other: Times) {
        self.user += other.user;
        self.system += other.system;
    }
}

/// As [`try_wait_any`], with the times of the child and of its own children that it has waited for
/// (wait4(2)).
pub fn try_wait_any_with_times() -> Option<(Pid, End, Times)> {
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: writes one number and the structure; all-zero is a valid value of it.
    let (waited, usage) = unsafe {
        let waited = libc::wait4(-1, &raw mut status, libc::WNOHANG, usage.as_mut_ptr());
        (waited, usage.assume_init())
    };
    let times = Times { user: duration(usage.ru_utime), system: duration(usage.ru_stime) };
    (waited > 0).then(|| (Pid::from_raw(waited), ExitStatus::from_raw(status).into(), times))
}

/// What a child has used that has ended and was waited for, with its own children that it has
/// waited for (getrusage(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The processor time.
    pub times: Times,
    /// The most resident memory that one of the processes has had, in bytes.
    pub largest_process: u64,
    /// What they have written to file systems on devices, in bytes.
    pub written: u64,
}

/// As [`wait`], with how the child has ended, and what it has used (wait4(2)).
pub fn wait_with_usage(pid: Pid) -> Result<(End, Usage)> {
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    loop {
        // SAFETY: writes one number and the structure.
        let waited = unsafe { libc::wait4(pid.as_raw(), &raw mut status, 0, usage.as_mut_ptr()) };
        match Errno::result(waited) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(cause) => return Err(cause),
        }
    }
    // SAFETY: all-zero is a valid value of it, and the kernel has written it.
    let usage = unsafe { usage.assume_init() };
    let number =
        |number: libc::c_long, unit: u64| u64::try_from(number).unwrap_or(0).saturating_mul(unit);
    // ru_maxrss is in kilobytes, and ru_oublock in blocks of 512 bytes.
    let usage = Usage {
        times: Times { user: duration(usage.ru_utime), system: duration(usage.ru_stime) },
        largest_process: number(usage.ru_maxrss, 1024),
        written: number(usage.ru_oublock, 512),
    };
    Ok((ExitStatus::from_raw(status).into(), usage))
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec.max(0) as u64, 0) + Duration::from_micros(time.tv_usec as u64)
}

/// Waits until all children have ended. Returns how many of them were killed.
pub fn wait_all() -> usize {
    let mut killed = 0;
    while let Ok(Some((_, status))) = waitpid(Pid::from_raw(-1), 0) {
        killed += usize::from(matches!(End::from(status), End::Killed(SIGKILL)));
    }
    killed
}

/// Whether this process has children, with those that have ended and were not waited for.
pub fn has_children() -> bool {
    let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags) != Err(Errno::ECHILD)
}

/// waitpid(2), again after EINTR. nix's fails for a child that a real-time signal killed: it has no
/// value for these signals.
fn waitpid(pid: Pid, flags: libc::c_int) -> Result<Option<(Pid, ExitStatus)>> {
    let mut status = 0;
    loop {
        // SAFETY: writes one number.
        let waited = unsafe { libc::waitpid(pid.as_raw(), &raw mut status, flags) };
        match Errno::result(waited) {
            Ok(0) => return Ok(None),
            Ok(pid) => return Ok(Some((Pid::from_raw(pid), ExitStatus::from_raw(status)))),
            Err(Errno::EINTR) => {}
            Err(cause) => return Err(cause),
        }
    }
}
