//! The guard: the process above a payload that never becomes the payload's user. It hands signals
//! on, reaps, and sees to it that nothing is left: as the first process of a pid namespace by
//! ending, else by killing whatever has descended from it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use sys::namespace::{self, Fork};
use sys::process::End;
use sys::signal::{
    self, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU,
    SIGWINCH,
};
use sys::{Pid, fd, process};

use super::children;
use super::payload::{self, Payload};
use super::refusal::{Refusal, Result};

/// Where the guard is.
#[derive(Debug)]
pub enum Ground<'a> {
    /// It is the first process of new namespaces.
    New,
    /// It is beside its caller; the payload joins the namespace of its lease.
    Joined(&'a OwnedFd),
}

/// What the guard hears from its caller, and tells it.
#[derive(Debug)]
pub struct Wires {
    /// A byte when all is ready for the payload; ends without one if there is none to be started.
    pub go: File,
    /// Why the payload was not executed; ends without a byte if it was.
    pub refused: File,
    /// The payload's status.
    pub ended: File,
}

/// Stands guard below the process `above`. All signals have been blocked.
pub fn stand(ground: &Ground<'_>, payload: &Payload, wires: Wires, above: Pid) -> ! {
    let Wires { mut go, mut refused, mut ended } = wires;
    // Not the caller's lock of the leases, above all: a payload can be held up before it is
    // executed.
    let mut own = vec![go.as_fd(), refused.as_fd(), ended.as_fd()];
    if let Ground::Joined(lease) = ground {
        own.push(lease.as_fd());
    }
    let closed = fd::close_above_2_but(&own);
    let closed = closed.map_err(|cause| Refusal::forbidden("close what is the caller's", cause));
    if closed.is_ok() && go.read_exact(&mut [0]).is_err() {
        process::exit(0); // the caller says why
    }
    drop(go);
    match closed.and_then(|()| start(ground, payload, &mut refused, &ended, above)) {
        Ok(pid) => {
            drop(refused);
            // What the payload closes is closed; and no file system is kept busy.
            let _ = process::chdir(std::path::Path::new("/"));
            let _ = fd::close_standard();
            let status = watch(pid, ground, above);
            end_everything(ground);
            if let Some(proxy) = payload.proxy.as_ref().filter(|proxy| proxy.is_temporary) {
                as_user_of(payload, ground, || proxy.remove());
            }
            let _ = ended.write_all(&status.to_bytes());
        }
        Err(refusal) => refusal.tell(&mut refused),
    }
    process::exit(0)
}

/// Starts the payload; returns its number.
fn start(
    ground: &Ground<'_>,
    payload: &Payload,
    refused: &mut File,
    ended: &File,
    above: Pid,
) -> Result<Pid> {
    let failed = |step: &'static str| move |cause| Refusal::forbidden(step, cause);
    match ground {
        Ground::New => {
            namespace::die_with_parent(SIGKILL).map_err(failed("stay bound to the caller"))?;
            // In here the parent has no number; whoever died before that call no longer hears us.
            if fd::is_unheard(ended) {
                process::exit(0);
            }
            // A machine that hides parts of /proc does not let it be mounted; then /proc shows the
            // processes outside.
            let _ = namespace::mount_proc();
        }
        Ground::Joined(_) => {
            namespace::adopt_orphans().map_err(failed("adopt what loses its parent"))?;
            namespace::die_with_parent(SIGHUP).map_err(failed("stay bound to the caller"))?;
            if process::parent() != above {
                process::exit(0);
            }
        }
    }
    // What is sent to the caller's process group, or to its session, reaches the payload once:
    // through the caller.
    process::setsid().map_err(failed("make a session"))?;
    let own = process::getpid();
    match namespace::fork().map_err(failed("start a process for the payload"))? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => {
            let refusal = match join(ground) {
                Ok(()) => payload::become_payload(payload, own),
                Err(refusal) => refusal,
            };
            refusal.tell(refused);
            process::exit(0)
        }
    }
}

/// Enters the user namespace of the payload, as who may become its user. For a moment the process
/// has the caller's rights there: until then it is hidden from all that is in it.
fn join(ground: &Ground<'_>) -> Result<()> {
    process::set_undumpable()
        .map_err(|cause| Refusal::forbidden("hide from others of the lease", cause))?;
    match ground {
        Ground::New => Ok(()),
        Ground::Joined(lease) => namespace::join_user_namespace(lease)
            .map_err(|cause| Refusal::forbidden("join the namespace of the lease", cause)),
    }
}

/// Kills whatever the payload has left.
fn end_everything(ground: &Ground<'_>) {
    match ground {
        // It would end with the guard; what the guard has still to do shall not be disturbed.
        Ground::New => {
            let _ = signal::send_to_all_others(SIGKILL);
        }
        Ground::Joined(_) => children::end_all(),
    }
}

/// Does something as the payload's user, after the payload. Another payload of that user can hold
/// it up, but not for long.
fn as_user_of(payload: &Payload, ground: &Ground<'_>, work: impl FnOnce()) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let (user, group) = payload.user;
    let pid = match namespace::fork() {
        Ok(Fork::Child) => {
            if join(ground).is_ok()
                && namespace::become_user(user, group).is_ok()
                && process::set_undumpable().is_ok()
            {
                work();
            }
            process::exit(0)
        }
        Ok(Fork::Parent(pid)) => pid,
        Err(_) => return,
    };
    let end = Instant::now() + PATIENCE;
    while !process::reap_if_ended(pid) {
        if Instant::now() > end {
            let _ = signal::send_by_number(pid, SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Hands signals on until the payload has ended, and returns how.
fn watch(payload: Pid, ground: &Ground<'_>, above: Pid) -> End {
    let joined = matches!(ground, Ground::Joined(_));
    loop {
        let Ok(told) = signal::wait() else { continue };
        if joined && process::parent() != above {
            children::end_all();
            process::exit(0);
        }
        match told.number {
            SIGCHLD => {
                while let Some((pid, status)) = process::reap() {
                    if pid == payload {
                        return status;
                    }
                }
            }
            // The payload has a session of its own, in which nothing else stops.
            SIGTSTP | SIGTTIN | SIGTTOU => send_to_all(payload, ground, SIGSTOP),
            SIGCONT => send_to_all(payload, ground, SIGCONT),
            // What comes from a terminal is meant for a process group.
            SIGINT | SIGQUIT | SIGHUP | SIGWINCH => send_to_group(payload, told.number),
            number => {
                let _ = signal::send_by_number(payload, number);
            }
        }
    }
}

/// To all that the payload has started, as far as that is known.
fn send_to_all(payload: Pid, ground: &Ground<'_>, number: i32) {
    match ground {
        Ground::New => {
            let _ = signal::send_to_all_others(number);
        }
        Ground::Joined(_) => send_to_group(payload, number),
    }
}

/// To the payload's process group, which it does not have in its first moments.
fn send_to_group(payload: Pid, number: i32) {
    if signal::send_to_group(payload, number).is_err() {
        let _ = signal::send_by_number(payload, number);
    }
}
