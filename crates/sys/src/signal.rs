//! Signal dispositions and masks.

use std::mem::MaybeUninit;

/// The signals that the helpers know by name.
pub use libc::{
    SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
};
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::{Errno, Pid, Result};

/// Makes the death of children visible again: a caller that ignores SIGCHLD hands that down through
/// exec, and then waitpid(2) fails with ECHILD.
pub fn expect_children() {
    set_default(libc::SIGCHLD);
}

/// Makes a write beyond the limit of a file's size fail (EFBIG) instead of ending this process.
pub fn survive_file_size_limit() {
    // SAFETY: SIG_IGN installs no handler.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Makes a write to a pipe that nobody reads fail (EPIPE) instead of ending this process: undoes
/// [`reset`] for a program that could not become another one and still has to say why.
pub fn survive_broken_pipes() {
    // SAFETY: SIG_IGN installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// The other way round: the default, for a program that takes over from this one and may count on
/// it.
pub fn die_of_broken_pipes() {
    set_default(libc::SIGPIPE);
}

/// Sets every signal to its default action and empties the mask, as a program expects to find them
/// at its start. Starters ignore SIGPIPE, and an ignored signal stays ignored through execve(2).
pub fn reset() -> Result<()> {
    for number in 1..=64 {
        set_default(number);
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// A signal that has come.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Its number.
    pub number: libc::c_int,
    /// Whether the kernel has sent it by itself, as it does for a terminal: then to the whole
    /// process group.
    pub from_kernel: bool,
}

/// Lets signals wait until they are asked for.
pub fn block_all() -> Result<()> {
    SigSet::all().thread_block()
}

/// Waits for a signal. All have been blocked.
pub fn wait() -> Result<Told> {
    let mut what = MaybeUninit::<libc::siginfo_t>::uninit();
    // SAFETY: both live across the call.
    let number =
        Errno::result(unsafe { libc::sigwaitinfo(SigSet::all().as_ref(), what.as_mut_ptr()) })?;
    // SAFETY: the call has succeeded, and so has written it.
    let from_kernel = unsafe { what.assume_init() }.si_code == libc::SI_KERNEL;
    Ok(Told { number, from_kernel })
}

/// Whether a signal has come that was not taken yet.
pub fn is_pending(number: libc::c_int) -> bool {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the call writes the set if it succeeds, and only then it is read.
    unsafe {
        libc::sigpending(set.as_mut_ptr()) == 0 && libc::sigismember(set.as_ptr(), number) == 1
    }
}

/// Stops this process until it is continued; not if a SIGCONT waits for it already: the kernel
/// would drop that, and no other may come.
pub fn stop_self() {
    if !is_pending(SIGCONT) {
        let _ = nix::sys::signal::raise(nix::sys::signal::SIGSTOP);
    }
}

/// Whether a signal is ignored.
fn is_ignored(number: libc::c_int) -> bool {
    let mut found = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set; the structure lives across the call, which writes it if it succeeds.
    unsafe {
        libc::sigaction(number, std::ptr::null(), found.as_mut_ptr()) == 0
            && found.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

pub(super) fn set_default(number: libc::c_int) {
    // The kernel's own structure, all zero: SIG_DFL, no flags, an empty mask. The C library's call
    // would refuse the two numbers that it keeps for itself, but a caller may have had them
    // ignored.
    let default = [0_u64; 8];
    let mask_bytes = size_of::<u64>();
    // SAFETY: `default` is longer than the structure on every architecture, and only read; SIG_DFL
    // installs no handler. SIGKILL and SIGSTOP are refused, which is harmless.
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

/// Sends a signal to the process that a pidfd stands for; 0 only asks whether that would be
/// allowed.
pub fn send(process: &std::os::fd::OwnedFd, signal: i32) -> Result<()> {
    use std::os::fd::AsRawFd as _;
    // SAFETY: the descriptor is open for as long as it is borrowed; no siginfo is passed.
    let status = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    Errno::result(status).map(drop)
}

/// The same by a process's number, which may be used again for another: only for kernels without
/// pidfds. `pid` is positive: others are groups.
pub fn send_by_number(pid: Pid, signal: i32) -> Result<()> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::kill(pid.as_raw(), signal) }).map(drop)
}

/// Sends a signal to every process that this one may signal, but to itself and the first of all
/// (kill(2)), at one moment: with SIGKILL none of them can have a child meanwhile.
pub fn send_to_all_others(signal: i32) -> Result<()> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::kill(-1, signal) }).map(drop)
}

/// Sends a signal to a process group, by its leader's number, which is positive.
pub fn send_to_group(leader: Pid, signal: i32) -> Result<()> {
    // SAFETY: plain numbers.
    Errno::result(unsafe { libc::kill(-leader.as_raw(), signal) }).map(drop)
}

/// The signals that have come, as a descriptor that can be waited for with others. All have been
/// blocked.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Opens it.
    pub fn open() -> Result<Signals> {
        Signals::among(&SigSet::all())
    }

    /// Lets these signals wait from now on until they are asked for here, but for those that
    /// whoever started this process wants it to ignore, as nohup(1) does.
    pub fn collect(numbers: &[libc::c_int]) -> Result<Signals> {
        let mut set = SigSet::empty();
        for number in numbers.iter().filter(|number| !is_ignored(**number)) {
            set.add(nix::sys::signal::Signal::try_from(*number)?);
        }
        set.thread_block()?;
        Signals::among(&set)
    }

    fn among(set: &SigSet) -> Result<Signals> {
        SignalFd::with_flags(set, SfdFlags::SFD_CLOEXEC).map(Signals)
    }

    /// Waits for the next.
    pub fn next(&self) -> Result<Told> {
        let told = self.0.read_signal()?.ok_or(Errno::EAGAIN)?;
        let number = told.ssi_signo.try_into().map_err(|_| Errno::EINVAL)?;
        Ok(Told { number, from_kernel: told.ssi_code == libc::SI_KERNEL })
    }
}

impl std::os::fd::AsFd for Signals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The name of a signal without `SIG`, or its number where it has none.
pub fn name(number: i32) -> String {
    match nix::sys::signal::Signal::try_from(number) {
        Ok(signal) => signal.as_str().trim_start_matches("SIG").to_owned(),
        Err(_) => number.to_string(),
    }
}

/// The number of a signal given as a number (0 to 64) or a name, with or without `SIG`, in any case
/// of letters.
pub fn parse(text: &str) -> Option<i32> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (0..=64).contains(number));
    }
    let upper = text.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    full.parse::<nix::sys::signal::Signal>().ok().map(|signal| signal as i32)
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
