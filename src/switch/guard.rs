//! The guard: the process above a payload that never becomes the payload's user. It hands signals on, reaps, and sees to it that nothing is
//! left: as the first process of a pid namespace by ending, else by killing whatever has descended from it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use super::payload::{self, Payload};
use super::refusal::{Refusal, Result};
use crate::sys::namespace::{self, Fork};
use crate::sys::signal::{self, SIGCHLD, SIGHUP, SIGKILL};
use crate::sys::{fd, proc, process};

/// Where the guard is.
#[derive(Debug)]
pub enum Ground {
    /// It is the first process of new namespaces, and goes on when a byte tells it that they have their ids.
    New(File),
    /// It is beside its caller; the payload joins the namespace of its lease.
    Joined(OwnedFd),
}

/// What the guard tells its caller.
#[derive(Debug)]
pub struct Wires {
    /// Why the payload was not executed; ends without a byte if it was.
    pub refused: File,
    /// The payload's status.
    pub ended: File,
}

/// Stands guard below the process `above`. All signals have been blocked.
pub fn stand(ground: Ground, payload: &Payload, wires: Wires, above: i32) -> ! {
    let Wires { mut refused, mut ended } = wires;
    match start(&ground, payload, &mut refused, &ended, above) {
        Ok(pid) => {
            drop(refused);
            // What the payload closes is closed; and no file system is kept busy.
            let _ = process::enter(std::path::Path::new("/"));
            let _ = fd::close_standard();
            let status = watch(pid, &ground, above);
            let _ = ended.write_all(&status.to_ne_bytes());
        }
        Err(refusal) => refusal.tell(&mut refused),
    }
    process::exit(0)
}

/// Starts the payload; returns its number.
fn start(ground: &Ground, payload: &Payload, refused: &mut File, ended: &File, above: i32) -> Result<i32> {
    let failed = |step: &'static str| move |cause| Refusal::forbidden(step, cause);
    match ground {
        Ground::New(mapped) => {
            let mut mapped: &File = mapped;
            if mapped.read_exact(&mut [0]).is_err() {
                process::exit(0); // the caller has said why
            }
            namespace::die_with_parent(SIGKILL).map_err(failed("stay bound to the caller"))?;
            // In here the parent has no number; whoever died before that call no longer hears us.
            if fd::is_unheard(ended) {
                process::exit(0);
            }
            // A machine that hides parts of /proc does not let it be mounted; then /proc shows the processes outside.
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
    // What is sent to the caller's process group reaches the payload once: through the caller.
    process::lead_group().map_err(failed("make a process group"))?;
    let own = process::own_number();
    match namespace::fork().map_err(failed("start a process for the payload"))? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => {
            let joined = match ground {
                Ground::New(_) => Ok(()),
                Ground::Joined(lease) => {
                    namespace::join_user_namespace(lease).map_err(failed("join the namespace of the lease"))
                }
            };
            let refusal = match joined {
                Ok(()) => payload::become_payload(payload, own),
                Err(refusal) => refusal,
            };
            refusal.tell(refused);
            process::exit(0)
        }
    }
}

/// Hands signals on until the payload has ended, and returns its status: 128 + N for signal N.
fn watch(payload: i32, ground: &Ground, above: i32) -> i32 {
    let joined = matches!(ground, Ground::Joined(_));
    loop {
        let Ok(told) = signal::wait() else { continue };
        if joined && process::parent() != above {
            end_all_children();
            process::exit(0);
        }
        if told.number != SIGCHLD {
            let _ = signal::send_by_number(payload, told.number);
            continue;
        }
        while let Some((pid, status)) = process::reap() {
            if pid == payload {
                if joined {
                    end_all_children();
                }
                return status;
            }
        }
    }
}

/// Kills everything that has descended from this process: who loses its parent becomes its child.
fn end_all_children() {
    let own = process::own_number();
    while process::has_children() {
        for pid in proc::numbers().unwrap_or_default() {
            if proc::entry(pid).is_ok_and(|entry| entry.is_some_and(|entry| entry.parent == own)) {
                let _ = signal::send_by_number(pid, SIGKILL);
            }
        }
        while process::reap().is_some() {}
    }
}
