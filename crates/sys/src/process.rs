//! This process: its ids, session, working directory and umask, and how it ends.

use std::os::fd::{AsFd, AsRawFd as _};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::Mode;

use super::{Errno, Pid, Result, Uid, signal};

/// The process id of this process.
pub fn getpid() -> Pid {
    nix::unistd::getpid()
}

/// The process id of the parent: the process that started this one, or the one that adopted it.
pub fn getppid() -> Pid {
    nix::unistd::getppid()
}

/// The effective user id: the kernel checks permissions by it.
pub fn geteuid() -> Uid {
    nix::unistd::geteuid()
}

/// Makes this process the leader of a new session, without a terminal, and of a new process group.
pub fn setsid() -> Result<()> {
    nix::unistd::setsid().map(drop)
}

/// Leaves the terminal of the session, so that this process cannot type into it (TIOCSTI,
/// ioctl_tty(2)): as the leader of a new session or, where the process leads a process group and
/// so cannot make a session, by TIOCNOTTY.
pub fn leave_terminal() -> Result<()> {
    if setsid().is_ok() {
        return Ok(());
    }
    // ENXIO: the session has no terminal.
    let terminal =
        match nix::fcntl::open("/dev/tty", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) {
            Err(Errno::ENXIO | Errno::ENOENT) => return Ok(()),
            opened => opened?,
        };
    // SAFETY: the descriptor is open; no memory is passed.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY) })?;
    // The kernel sends it to the processes in the foreground where the session's leader leaves.
    signal::discard_sighup();
    Ok(())
}

/// The process group and the session of a process.
pub fn group_and_session(pid: Pid) -> Result<(Pid, Pid)> {
    Ok((nix::unistd::getpgid(Some(pid))?, nix::unistd::getsid(Some(pid))?))
}

/// Ends the timers that a caller has set before it executed this program: their signals would
/// arrive here (setitimer(2)).
pub fn clear_timers() {
    let none = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 0 },
    };
    for timer in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
        // SAFETY: the structure lives during the call, and the old value is not asked for.
        unsafe { libc::setitimer(timer as _, &raw const none, std::ptr::null_mut()) };
    }
}

/// Changes the working directory.
pub fn chdir(path: &Path) -> Result<()> {
    nix::unistd::chdir(path)
}

/// Makes an open directory the working directory.
pub fn fchdir(directory: &impl AsFd) -> Result<()> {
    nix::unistd::fchdir(directory)
}

/// The nice value of a process (getpriority(2)).
pub fn nice_of(pid: Pid) -> Result<i32> {
    Errno::clear();
    // SAFETY: takes numbers. -1 is a value, too: then the error number says which it is.
    let value = unsafe { libc::getpriority(libc::PRIO_PROCESS, pid.as_raw() as libc::id_t) };
    match Errno::last_raw() {
        0 => Ok(value),
        cause if value == -1 => Err(Errno::from_raw(cause)),
        _ => Ok(value),
    }
}

/// Sets the nice value of this process (setpriority(2)).
pub fn set_nice(value: i32) -> Result<()> {
    // SAFETY: takes numbers.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, value) }).map(drop)
}

/// Sets the permission bits that new files do not get; returns those before.
pub fn umask(mask: u32) -> u32 {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask)).bits()
}

/// Whether a descriptor is the terminal of this process's session, and another process group is in
/// the foreground there (credentials(7)).
pub fn is_in_background(terminal: &impl AsFd) -> bool {
    nix::unistd::tcgetpgrp(terminal).is_ok_and(|group| group != nix::unistd::getpgrp())
}

/// Whether a process with this id exists, as far as this process may know; also one of another
/// user.
pub fn exists(pid: Pid) -> bool {
    nix::sys::signal::kill(pid, None) != Err(Errno::ESRCH)
}

/// EBUSY if this process has another thread.
pub(super) fn require_one_thread() -> Result<()> {
    // The kernel refuses it to a process with threads, and has nothing to do for another one
    // (unshare(2)): cheaper than a look at /proc, where a filter of system calls allows it.
    if nix::sched::unshare(CloneFlags::CLONE_THREAD).is_ok() {
        return Ok(());
    }
    let threads = || -> std::io::Result<usize> {
        std::fs::read_dir("/proc/self/task")?.try_fold(0, |count, entry| entry.map(|_| count + 1))
    };
    // A thread that was joined is listed for a moment longer.
    for _ in 0..10 {
        if threads().map_err(|error| super::errno(&error))? == 1 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(Errno::EBUSY)
}

/// Ends this process at once: no destructor and no exit handler runs.
pub fn _exit(status: i32) -> ! {
    // SAFETY: no code of this process runs after the call.
    unsafe { libc::_exit(status) }
}

/// Ends this process by a signal, so that its parent sees that; without a core dump (core(5)).
pub fn die_of_signal(number: i32) -> ! {
    signal::set_default(number);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = signal::kill(getpid(), number);
    let _ = SigSet::empty().thread_set_mask();
    _exit(128 + number)
}
