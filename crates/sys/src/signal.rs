//! Signals: their actions, masks, numbers and names (signal(7)).
//!
//! nix's `Signal` has no real-time signals, which any process may send. So a signal is a number
//! here, and what nix has for its own type only is called by libc.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// Numbers of signals.
pub use libc::{
    SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH, SIGXCPU, SIGXFSZ,
};
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::{Errno, Pid, Result, Uid};

/// Sets SIGCHLD to its default action. A caller may have ignored it: then execve(2) keeps that, and
/// waitpid(2) fails with ECHILD.
pub fn default_sigchld() {
    set_default(libc::SIGCHLD);
}

/// Ignores SIGXFSZ: a write beyond the limit of a file's size fails with EFBIG, and does not end
/// this process.
pub fn ignore_sigxfsz() {
    ignore(Signal::SIGXFSZ);
}

/// Ignores SIGPIPE, as the standard library does at the start of a program: a write to a pipe
/// without a reader fails with EPIPE. For a program that has set it to its default action for
/// another program, which it then could not execute.
pub fn ignore_sigpipe() {
    ignore(Signal::SIGPIPE);
}

/// Ignores SIGHUP: one that is pending is discarded.
pub(super) fn discard_sighup() {
    ignore(Signal::SIGHUP);
}

fn ignore(signal: Signal) {
    // SAFETY: SIG_IGN installs no handler.
    let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) };
}

/// Sets SIGPIPE to its default action, for a program to be executed, which may rely on it.
pub fn default_sigpipe() {
    set_default(libc::SIGPIPE);
}

/// Sets every signal to its default action and empties the mask, for a program to be executed.
/// HTCondor's daemons ignore SIGPIPE, and an ignored signal stays ignored through execve(2).
pub fn reset_all() -> Result<()> {
    reset_actions();
    SigSet::empty().thread_set_mask()
}

/// Sets every signal to its default action; the mask stays.
pub fn reset_actions() {
    for number in 1..=64 {
        set_default(number);
    }
}

/// A signal that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its number.
    pub number: libc::c_int,
    /// Whether the kernel sent it (SI_KERNEL), as it does for a terminal, to the whole process
    /// group.
    pub from_kernel: bool,
    /// The real user id of the process that sent it; root's for the kernel.
    pub sender: Uid,
}

/// Blocks all signals for this thread: they stay pending until they are waited for.
pub fn block_all() -> Result<()> {
    SigSet::all().thread_block()
}

/// Unblocks all signals for this thread.
pub fn unblock_all() -> Result<()> {
    SigSet::empty().thread_set_mask()
}

/// Waits for a signal (sigtimedwait(2)); [`block_all`] comes before. EAGAIN at the deadline.
pub fn wait(deadline: Option<Instant>) -> Result<Received> {
    let timeout = deadline.map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        let seconds = left.as_secs().try_into().unwrap_or(libc::time_t::MAX);
        libc::timespec { tv_sec: seconds, tv_nsec: left.subsec_nanos().into() }
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: the set, the time and the structure live during the call, which writes the structure
    // if it succeeds; only then it is read.
    let (number, info) = unsafe {
        let number = libc::sigtimedwait(SigSet::all().as_ref(), info.as_mut_ptr(), timeout);
        (Errno::result(number)?, info.assume_init())
    };
    let from_kernel = info.si_code == libc::SI_KERNEL;
    // SAFETY: the kernel fills in the whole structure: for what has no sender with zeros or other
    // numbers, of which each is a valid id.
    let sender = if from_kernel { 0 } else { unsafe { info.si_uid() } };
    Ok(Received { number, from_kernel, sender: Uid::from_raw(sender) })
}

/// Whether a signal is pending (sigpending(2)).
pub fn is_pending(number: libc::c_int) -> bool {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call writes the part of the set that has the kernel's signals, if it succeeds;
    // only then that part is read.
    unsafe {
        libc::sigpending(set.as_mut_ptr()) == 0 && libc::sigismember(set.as_ptr(), number) == 1
    }
}

/// Stops this process until it gets SIGCONT. Not if a SIGCONT is pending: the kernel would discard
/// that, and there may be no other.
pub fn stop_self() {
    if !is_pending(SIGCONT) {
        let _ = nix::sys::signal::raise(Signal::SIGSTOP);
    }
}

/// Whether a signal is ignored.
fn is_ignored(number: libc::c_int) -> bool {
    let mut found = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: no action is set. All-zero is a valid value of the structure, of which the call
    // writes only a part.
    unsafe {
        libc::sigaction(number, std::ptr::null(), found.as_mut_ptr()) == 0
            && found.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

pub(super) fn set_default(number: libc::c_int) {
    // The kernel's own structure, all zero: SIG_DFL, no flags, an empty mask. The C library's call
    // refuses the two numbers that it uses itself, but a caller may have ignored these.
    let default = [0_u64; 8];
    let mask_bytes = size_of::<u64>();
    // SAFETY: `default` is longer than the structure on every architecture, and only read; SIG_DFL
    // installs no handler. For SIGKILL and SIGSTOP the call fails, without effect.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            number,
            default.as_ptr(),
            std::ptr::null::<u64>(),
            mask_bytes,
        );
    }
}

/// Sends a signal to a process (kill(2)); with 0 the kernel only checks whether that is permitted.
/// `pid` is positive. The id may meanwhile be another process's: where the kernel has pidfds,
/// [`super::pidfd::send_signal`] is used for processes that are not children.
pub fn kill(pid: Pid, signal: i32) -> Result<()> {
    // SAFETY: takes numbers.
    Errno::result(unsafe { libc::kill(pid.as_raw(), signal) }).map(drop)
}

/// Sends a signal to every process that this one may signal, except itself and process 1, in one
/// call (kill(2), pid -1). With SIGKILL none of them can start another process meanwhile.
pub fn kill_all_others(signal: i32) -> Result<()> {
    // SAFETY: takes numbers.
    Errno::result(unsafe { libc::kill(-1, signal) }).map(drop)
}

/// Sends a signal to the process group with this id, which is positive (killpg(3)).
pub fn killpg(group: Pid, signal: i32) -> Result<()> {
    // SAFETY: takes numbers.
    Errno::result(unsafe { libc::killpg(group.as_raw(), signal) }).map(drop)
}

/// A descriptor from which pending signals are read, and which can be polled (signalfd(2)).
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// For all signals; [`block_all`] comes before.
    pub fn open() -> Result<Signals> {
        Signals::among(&SigSet::all())
    }

    /// Blocks these signals and opens a descriptor for them. Signals that this process ignores are
    /// left out: its caller wants that, as nohup(1) does.
    pub fn block(numbers: &[libc::c_int]) -> Result<Signals> {
        let mut set = SigSet::empty();
        for number in numbers.iter().filter(|number| !is_ignored(**number)) {
            set.add(Signal::try_from(*number)?);
        }
        set.thread_block()?;
        Signals::among(&set)
    }

    fn among(set: &SigSet) -> Result<Signals> {
        SignalFd::with_flags(set, SfdFlags::SFD_CLOEXEC).map(Signals)
    }

    /// Waits for the next signal.
    pub fn read(&self) -> Result<Received> {
        let received = self.0.read_signal()?.ok_or(Errno::EAGAIN)?;
        let number = received.ssi_signo.try_into().map_err(|_| Errno::EINVAL)?;
        let from_kernel = received.ssi_code == libc::SI_KERNEL;
        let sender = Uid::from_raw(if from_kernel { 0 } else { received.ssi_uid });
        Ok(Received { number, from_kernel, sender })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The name of a signal without `SIG`; its number if it has no name.
pub fn name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().trim_start_matches("SIG").to_owned(),
        Err(_) => number.to_string(),
    }
}

/// The number of a signal that is written as a number (0 to 64) or a name: with or without `SIG`,
/// in upper or lower case.
pub fn parse(text: &str) -> Option<i32> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (0..=64).contains(number));
    }
    let upper = text.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    full.parse::<Signal>().ok().map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_signal_is_a_number_or_a_name_with_or_without_sig() {
        for text in ["9", "KILL", "SIGKILL", "kill"] {
            assert_eq!(parse(text), Some(9), "{text}");
        }
        assert_eq!(parse("0"), Some(0));
        for text in ["", "-9", "+9", "65", "SIG", "9x", "KILLL", "999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
