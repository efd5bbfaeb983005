//! Children that continue in the program of this process (fork(2), clone(2)).
//!
//! Each function fails with EBUSY if this process has another thread: a child has only the thread
//! that made it, and would find the locks of the others taken without limit.

use std::os::fd::AsFd as _;
use std::path::Path;

use nix::sched::CloneFlags;
use nix::sys::signal::SigSet;
use nix::unistd::ForkResult;

use super::process::{_exit, chdir, die_of_signal, getpid, getppid, require_one_thread, setsid};
use super::wait::{End, try_wait_any};
use super::{Dir, Errno, Pid, Result, inherited, prctl, signal, stdio};

/// In which of the two processes a fork returned.
#[derive(Debug)]
pub enum Fork {
    /// The child.
    Child,
    /// The parent, with the child's process id.
    Parent(Pid),
}

/// Makes a child, which continues here with a copy of the memory.
pub fn fork() -> Result<Fork> {
    require_one_thread()?;
    // SAFETY: this process has one thread.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(Fork::Child),
        ForkResult::Parent { child } => Ok(Fork::Parent(child)),
    }
}

/// As [`fork`]; the child is the first process of a new pid namespace, in a new mount namespace.
/// Both belong to a new user namespace, which this process's user owns and in which the child has
/// all capabilities.
pub fn fork_into_new_namespaces() -> Result<Fork> {
    clone(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS)
}

/// As [`fork`]; the child is in a new user namespace, with all capabilities there.
pub fn fork_into_new_user_namespace() -> Result<Fork> {
    clone(CloneFlags::CLONE_NEWUSER)
}

/// clone(2) without a stack for the child: nix's function needs one.
fn clone(flags: CloneFlags) -> Result<Fork> {
    // The width of the registers that the kernel reads: syscall(2) passes an i32 in half of one.
    const NO_STACK: libc::c_ulong = 0;
    const NONE: libc::c_ulong = 0;
    require_one_thread()?;
    let flags = flags.bits() as libc::c_ulong | libc::SIGCHLD as libc::c_ulong;
    // SAFETY: without a stack the child continues on a copy of this one, as after fork(2); this
    // process has one thread. The kernel ignores the other arguments with these flags.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, NO_STACK, NONE, NONE, NONE) };
    let pid = Errno::result(pid)?;
    match i32::try_from(pid) {
        Ok(0) => Ok(Fork::Child),
        Ok(pid) => Ok(Fork::Parent(Pid::from_raw(pid))),
        Err(_) => Err(Errno::EOVERFLOW),
    }
}

/// Continues in a child, with no signal blocked. This process stays as its parent: it forwards
/// signals, and ends as the child ends. The child does not outlive it. The parent keeps no file of
/// this process open, and its working directory is the root directory.
///
/// [`signal::reset_all`] comes before: an ignored signal is not forwarded.
pub fn continue_in_child() -> Result<()> {
    signal::block_all()?;
    let parent = getpid();
    let Fork::Parent(child) = fork()? else {
        prctl::set_pdeathsig(libc::SIGKILL)?;
        if getppid() != parent {
            // The parent ended before the setting was made: the kernel does not send the signal.
            return Err(Errno::ESRCH);
        }
        // Signals that the child sends to its process group do not reach the parent.
        nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        return SigSet::empty().thread_set_mask();
    };
    let _ = chdir(Path::new("/"));
    let _ = stdio::redirect_to_null();
    let _ = inherited::release_all_but(&[]);
    loop {
        let Ok(received) = signal::wait(None) else { continue };
        if received.number != libc::SIGCHLD {
            // A terminal sends its signals to the child, too.
            if !received.from_kernel {
                let _ = signal::kill(child, received.number);
            }
            continue;
        }
        match try_wait_any() {
            Some((pid, End::Exited(status))) if pid == child => _exit(status),
            Some((pid, End::Killed(signal))) if pid == child => die_of_signal(signal),
            _ => {}
        }
    }
}

/// Runs `work` in a child that this process does not wait for, as daemon(3) does: in a new session,
/// in the root directory, with standard input, output and error from and to the null device, and
/// with no other descriptors than those of `keep`. The child ends after it.
pub fn fork_daemon(keep: &[&Dir], work: impl FnOnce()) -> Result<()> {
    if let Fork::Parent(_) = fork()? {
        return Ok(());
    }
    let keep: Vec<_> = keep.iter().map(|dir| dir.as_fd()).collect();
    if setsid().is_ok()
        && chdir(Path::new("/")).is_ok()
        && stdio::redirect_to_null().is_ok()
        && inherited::release_all_but(&keep).is_ok()
    {
        work();
    }
    _exit(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::{Errno, fork, fork_into_new_user_namespace};

    #[test]
    fn a_process_with_two_threads_is_not_forked() {
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| barrier.wait());
            for fork in [fork, fork_into_new_user_namespace] {
                assert_eq!(fork().err(), Some(Errno::EBUSY));
            }
            barrier.wait();
        });
    }
}
