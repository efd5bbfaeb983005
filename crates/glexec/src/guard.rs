//! The guard: the process between the caller's and the payload. It never becomes the payload's
//! user. It forwards signals, reaps, and ends all processes that the payload leaves: as the first
//! process of a pid namespace by its own end, elsewhere by killing its descendants.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use command::refusal::Result;
use hooks::session::changes::Changes;
use sys::fork::{self, Fork};
use sys::signal::{
    self, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
    SIGWINCH,
};
use sys::wait::{self, End};
use sys::{Pid, fd, identity, inherited, namespace, prctl, process, stdio};

use crate::directory::{Directory, wait_for_exec};
use crate::payload::{self, Payload};
use crate::ranges::Ids;
use ::world::restrictions;
use ownership::Given;

use crate::children;

/// Where the guard runs.
#[derive(Debug)]
pub(crate) enum Position<'a> {
    /// It is the first process of the lease's new namespaces, and the payload is in them too.
    Inside,
    /// It is in its caller's namespaces, and the payload joins this user namespace of the lease.
    Beside(&'a OwnedFd),
}

/// The guard's ends of its pipes to the caller.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// A byte comes when the payload may start, with the changes of its environment: their length
    /// in 4 bytes, and they. The pipe ends without a byte if it may not.
    pub(crate) start: File,
    /// Why the payload was not executed; ends without a byte if it was.
    pub(crate) refusal: File,
    /// How the payload has ended.
    pub(crate) status: File,
}

/// Runs the guard, below the process `above`. All signals must be blocked. A payload inside of new
/// namespaces can get a directory.
pub(crate) fn run(
    position: &Position<'_>,
    payload: &mut Payload,
    directory: Option<Directory<'_>>,
    pipes: Pipes,
    above: Pid,
) -> ! {
    let Pipes { mut start, mut refusal, mut status } = pipes;
    // Closes the locked table of leases, above all: the payload can be held up before it is
    // executed.
    let mut keep = vec![start.as_fd(), refusal.as_fd(), status.as_fd()];
    if let Position::Beside(namespace) = position {
        keep.push(namespace.as_fd());
    }
    keep.extend(directory.iter().flat_map(Directory::descriptors));
    let closed = inherited::release_all_but(&keep)
        .map_err(|cause| restrictions::forbidden("close the caller's descriptors", cause));
    if closed.is_ok() {
        match read_start(&mut start) {
            Ok(changes) => payload.changes = changes,
            Err(_) => process::_exit(0), // the caller knows why, and tells it
        }
    }
    let payload = &*payload;
    let begun = closed
        .and_then(|()| bind(position, &status, above))
        .and_then(|()| begin(position, payload, directory.as_ref(), &mut refusal));
    match begun {
        Ok((pid, given)) => {
            drop(refusal);
            // The guard must not keep a pipe of the payload's open, nor a file system busy.
            let _ = process::chdir(std::path::Path::new("/"));
            let _ = stdio::redirect_to_null();
            let end = watch(pid, position, above);
            kill_remaining(position);
            // Its own child processes are those of the payload only until then.
            let killed = given.as_ref().map(|_| wait::wait_all()).unwrap_or_default();
            if let (Some(directory), Some(given)) = (&directory, &given) {
                directory.hand_over.report_end(given, end, killed);
            }
            if let Some(proxy) = payload.proxy.as_ref().filter(|proxy| proxy.is_temporary()) {
                as_payload_user(payload.ids, position, || proxy.remove());
            }
            let _ = status.write_all(&end.to_bytes());
            if let (Some(directory), Some(given)) = (&directory, given) {
                directory.take(&given, &start);
            }
        }
        Err(why) => {
            let _ = refusal.write_all(&why.to_bytes());
        }
    }
    process::_exit(0)
}

/// Reads what [`write_start`] writes.
fn read_start(start: &mut File) -> std::io::Result<Changes> {
    let (mut byte, mut length) = ([0], [0; 4]);
    start.read_exact(&mut byte)?;
    start.read_exact(&mut length)?;
    let mut changes = Vec::new();
    start.take(u32::from_ne_bytes(length).into()).read_to_end(&mut changes)?;
    Ok(Changes::from_bytes(&changes))
}

/// Lets the payload start, with these changes of its environment.
pub(crate) fn write_start(start: &mut File, changes: &Changes) -> std::io::Result<()> {
    let changes = changes.to_bytes();
    let length = u32::try_from(changes.len()).unwrap_or(0);
    start.write_all(&[&b"x"[..], &length.to_ne_bytes(), &changes].concat())
}

/// Ties the guard to the caller's process: it does not outlive it.
fn bind(position: &Position<'_>, status: &File, above: Pid) -> Result<()> {
    let failed = |step: &'static str| move |cause| restrictions::forbidden(step, cause);
    let bind = "ask for a signal at the end of the caller";
    match position {
        Position::Inside => {
            prctl::set_pdeathsig(SIGKILL).map_err(failed(bind))?;
            // The parent has no process id in here. If it ended before that call, no process
            // reads this pipe.
            if fd::has_no_reader(status) {
                process::_exit(0);
            }
        }
        Position::Beside(_) => {
            prctl::set_child_subreaper().map_err(failed("adopt orphaned processes"))?;
            prctl::set_pdeathsig(SIGHUP).map_err(failed(bind))?;
            if process::getppid() != above {
                process::_exit(0);
            }
        }
    }
    Ok(())
}

/// Gives the directory, if there is one, and starts the payload; returns its process id.
fn begin(
    position: &Position<'_>,
    payload: &Payload,
    directory: Option<&Directory<'_>>,
    refusal: &mut File,
) -> Result<(Pid, Option<Given>)> {
    let Some(directory) = directory else {
        return Ok((start_payload(position, payload, refusal)?, None));
    };
    let given = directory.give(payload.ids)?;
    // Not the caller's pipe: if the payload is not executed, the directory goes back first.
    let started = fd::pipe()
        .map_err(|cause| restrictions::forbidden("make a pipe", cause))
        .and_then(|(why, mut why_end)| {
            let pid = start_payload(position, payload, &mut why_end)?;
            drop(why_end);
            wait_for_exec(why).map(|()| pid)
        });
    match started {
        Ok(pid) => Ok((pid, Some(given))),
        Err(why) => {
            wait::wait_all();
            Err(directory.hand_over.undo(&given, why))
        }
    }
}

/// Starts the payload; returns its process id. `refusal` gets the reason if it is not executed.
fn start_payload(position: &Position<'_>, payload: &Payload, refusal: &mut File) -> Result<Pid> {
    let failed = |step: &'static str| move |cause| restrictions::forbidden(step, cause);
    if matches!(position, Position::Inside) {
        // Where parts of /proc are hidden, the kernel does not allow it; then /proc shows the
        // processes outside.
        let _ = namespace::mount_proc();
    }
    // A signal to the caller's process group or session must reach the payload once: through the
    // caller.
    process::setsid().map_err(failed("make a session"))?;
    let own = process::getpid();
    match fork::fork().map_err(failed("start a process for the payload"))? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => {
            let why = match join(position) {
                Ok(()) => payload::become_payload(payload, own),
                Err(why) => why,
            };
            let _ = refusal.write_all(&why.to_bytes());
            process::_exit(0)
        }
    }
}

/// Enters the user namespace of the payload, with the capabilities to become its user. For a moment
/// the process has the caller's rights there: before that, it becomes undumpable, so that no
/// process in the namespace can trace it or open its descriptors.
fn join(position: &Position<'_>) -> Result<()> {
    prctl::clear_dumpable().map_err(|cause| {
        restrictions::forbidden("hide this process from others of the lease", cause)
    })?;
    match position {
        Position::Inside => Ok(()),
        Position::Beside(namespace) => namespace::join_user_namespace(namespace)
            .map_err(|cause| restrictions::forbidden("join the namespace of the lease", cause)),
    }
}

/// Kills all processes that the payload has left.
fn kill_remaining(position: &Position<'_>) {
    match position {
        // They would end with the guard, but must not disturb what the guard does before that.
        Position::Inside => {
            let _ = signal::kill_all_others(SIGKILL);
        }
        Position::Beside(_) => children::kill_all(),
    }
}

/// Does `work` in a process of the payload's user, after the payload. Another payload of that user
/// can stop this process: it is killed after a second.
fn as_payload_user(ids: Ids, position: &Position<'_>, work: impl FnOnce()) {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let pid = match fork::fork() {
        Ok(Fork::Child) => {
            if join(position).is_ok()
                && identity::become_user(ids.user, ids.group).is_ok()
                && prctl::clear_dumpable().is_ok()
            {
                work();
            }
            process::_exit(0)
        }
        Ok(Fork::Parent(pid)) => pid,
        Err(_) => return,
    };
    let end = Instant::now() + TIMEOUT;
    while !wait::try_wait(pid) {
        if Instant::now() > end {
            let _ = signal::kill(pid, SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Forwards signals until the payload has ended, and returns how.
fn watch(payload: Pid, position: &Position<'_>, above: Pid) -> End {
    let is_beside = matches!(position, Position::Beside(_));
    loop {
        let Ok(received) = signal::wait(None) else { continue };
        if is_beside && process::getppid() != above {
            children::kill_all();
            process::_exit(0);
        }
        match received.number {
            SIGCHLD => {
                while let Some((pid, end)) = wait::try_wait_any() {
                    if pid == payload {
                        return end;
                    }
                }
            }
            // The payload leads a session without a terminal, where these three would be ignored
            // (its process group is orphaned): SIGSTOP stops it.
            SIGTSTP | SIGTTIN | SIGTTOU => signal_all(payload, position, SIGSTOP),
            SIGCONT => signal_all(payload, position, SIGCONT),
            // A terminal sends these to a process group.
            SIGINT | SIGQUIT | SIGHUP | SIGWINCH => signal_group(payload, received.number),
            number => {
                let _ = signal::kill(payload, number);
            }
        }
    }
}

/// Signals all processes that the payload has started; beside a lease's namespace, only its process
/// group.
fn signal_all(payload: Pid, position: &Position<'_>, number: i32) {
    match position {
        Position::Inside => {
            let _ = signal::kill_all_others(number);
        }
        Position::Beside(_) => signal_group(payload, number),
    }
}

/// Signals the payload's process group, which does not exist in the payload's first moments.
fn signal_group(payload: Pid, number: i32) {
    if signal::killpg(payload, number).is_err() {
        let _ = signal::kill(payload, number);
    }
}
