//! Processes: who we are, starting others, and signalling one without a race.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsString};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::ForkResult;

use super::{Dir, Errno, Result, fd};

/// The user id that the kernel judges this process by.
pub fn user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// What this process creates is its user's alone, unless it says otherwise; whatever mask the caller had.
pub fn create_privately() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// The name of the program that started this one, or adopted it (proc_pid_comm(5)), where the kernel tells.
pub fn name_of_parent() -> Option<Vec<u8>> {
    let name = std::fs::read(format!("/proc/{}/comm", nix::unistd::getppid())).ok()?;
    Some(name.trim_ascii().to_vec())
}

/// Becomes another program, without looking for it in PATH. Returns only the reason why it could not.
pub fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    match nix::unistd::execve(program, arguments, environment) {
        Ok(never) => match never {},
        Err(cause) => cause,
    }
}

/// As [`execute`], for a command as the standard library describes it: its program (a path, not looked for), arguments
/// and variables. The standard library's own call would hand a file that is no program to a shell.
pub fn execute_command(command: &Command) -> Errno {
    let prepared = || -> Result<(CString, Vec<CString>, Vec<CString>)> {
        let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::EINVAL);
        let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => variables.insert(name.to_owned(), value.to_owned()),
                None => variables.remove(name),
            };
        }
        let program = c_string(command.get_program().as_bytes())?;
        let words = command.get_args().map(|word| c_string(word.as_bytes()));
        let arguments = std::iter::once(Ok(program.clone())).chain(words).collect::<Result<_>>()?;
        let entries =
            variables.iter().map(|(name, value)| c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
        let environment = entries.collect::<Result<_>>()?;
        Ok((program, arguments, environment))
    };
    match prepared() {
        Ok((program, arguments, environment)) => execute(&program, &arguments, &environment),
        Err(cause) => cause,
    }
}

/// Starts a command in the root directory.
///
/// The standard library would change the directory in a forked child, at twice the cost, and then hand a file that is no
/// program to a shell (execvp(3)); without a directory of its own, the child is started by posix_spawn(3).
pub fn start_in_root(command: &mut Command) -> std::io::Result<Child> {
    let here = nix::fcntl::open(".", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    enter(Path::new("/"))?;
    let started = command.spawn();
    // A directory that this user may not enter any more is of no use to us either.
    let _ = nix::unistd::fchdir(here);
    started
}

/// Whether this user may execute a file.
pub fn may_execute(path: &Path) -> bool {
    path.is_file() && nix::unistd::eaccess(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

/// Enters a directory: it becomes the working directory.
pub fn enter(path: &Path) -> Result<()> {
    nix::unistd::chdir(path)
}

/// Whether a process of this number exists, as far as this process may know: true also if it is somebody else's.
pub fn exists(pid: i32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// A descriptor that stands for this very process, never for a later one with the same number (pidfd_open(2)).
pub fn open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: plain numbers; the kernel returns a new close-on-exec descriptor, which nobody else knows of.
    unsafe {
        let number = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(number as libc::c_int))
    }
}

/// Carries on with `work` in a child that nobody waits for: in a session of its own, in the root directory, and with no descriptor
/// of the caller's but `keep`. EBUSY if this process has another thread: the child would have only this one.
pub fn in_background(keep: &Dir, work: impl FnOnce()) -> Result<()> {
    let mut tries = 10;
    while std::fs::read_dir("/proc/self/task").map_err(|error| super::errno(&error))?.count() != 1 {
        // One that has been waited for is listed for a moment longer.
        if tries == 0 {
            return Err(Errno::EBUSY);
        }
        tries -= 1;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // SAFETY: there is no other thread, whose locks the child would find taken for ever.
    if let ForkResult::Parent { .. } = unsafe { nix::unistd::fork() }? {
        return Ok(());
    }
    if nix::unistd::setsid().is_ok() && enter(Path::new("/")).is_ok() && fd::close_all_but(keep).is_ok() {
        work();
    }
    // SAFETY: ends the child without anything that the parent has prepared for its own end.
    unsafe { libc::_exit(0) }
}
