//! Starting another program as a child.

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::process::{chdir, getpid, getppid, setsid, umask};
use super::{Errno, Gid, Pid, Uid, prctl, rlimit};

/// Starts a command in the root directory.
///
/// With a directory of its own the standard library starts a command by fork(2), at twice the cost
/// of posix_spawn(3), and runs a file that is not a program by a shell (execvp(3)). So this process
/// itself is in the root directory for a moment.
pub fn spawn_in_root(command: &mut Command) -> std::io::Result<Child> {
    let here = nix::fcntl::open(
        ".",
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    chdir(Path::new("/"))?;
    let started = command.spawn();
    // It fails if this user may no longer enter that directory: then it was of no use before.
    let _ = nix::unistd::fchdir(here);
    started
}

/// Makes a command run with these ids as its real, effective and saved ones, and with no
/// supplementary groups. The standard library's own settings keep the groups where only the
/// effective user id is root's.
pub fn as_user(command: &mut Command, user: Uid, group: Gid) {
    let change = move || {
        nix::unistd::setgroups(&[])?;
        nix::unistd::setresgid(group, group, group)?;
        Ok(nix::unistd::setresuid(user, user, user)?)
    };
    // SAFETY: the closure makes system calls and allocates nothing: it may run between fork and
    // exec, also where this process has other threads.
    unsafe { command.pre_exec(change) };
}

/// Settings that a child gets as this process's caller had them.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    /// The permission bits that new files do not get (umask(2)).
    pub umask: u32,
    /// How many descriptors it may have (its soft limit, RLIMIT_NOFILE), if that differs from this
    /// process's.
    pub descriptors: Option<u64>,
}

/// Starts a command in the root directory and as the leader of a new session. The kernel kills it
/// when the calling thread ends (PR_SET_PDEATHSIG, prctl(2)), unless it executes a set-user-ID
/// program. It has the descriptor `passed` open under its number here.
pub fn spawn_with_pdeathsig(
    command: &mut Command,
    inherited: Inherited,
    passed: Option<BorrowedFd<'_>>,
) -> std::io::Result<Child> {
    let parent = getpid();
    let passed = passed.map(|passed| passed.as_raw_fd());
    let prepare = move || {
        if let Some(number) = passed {
            // SAFETY: clears the flag of a descriptor that is open in the parent, and so here.
            Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, 0) })?;
        }
        umask(inherited.umask);
        inherited.descriptors.map_or(Ok(()), rlimit::set_nofile)?;
        prctl::set_pdeathsig(libc::SIGKILL)?;
        if getppid() != parent {
            // The parent ended before the setting was made: the kernel does not send the signal.
            return Err(Errno::ESRCH.into());
        }
        Ok(setsid()?)
    };
    // SAFETY: the closure makes system calls and allocates nothing: it may run between fork and
    // exec, also where this process has other threads.
    unsafe { command.current_dir("/").pre_exec(prepare) }.spawn()
}

/// The process id of a child.
pub fn pid_of(child: &Child) -> Pid {
    // The standard library made the unsigned number of a pid_t.
    Pid::from_raw(child.id() as i32)
}
