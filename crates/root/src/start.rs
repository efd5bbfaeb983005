//! Starting a payload below this process, and what remains to be done as its user afterwards.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use command::refusal::{Refusal, Result};
use sys::fork::{self, Fork};
use sys::signal::SIGKILL;
use sys::switch::{self, Identity};
use sys::{Errno, Pid, fd, prctl, process, signal, wait};

use crate::payload::Payload;

/// Starts the payload as a child. Returns when it is executed; or why it is not, and then no
/// process of it is left.
pub(crate) fn start(payload: &Payload) -> Result<Pid> {
    let failed = |step: &'static str| {
        move |cause: Errno| Refusal::internal(format!("cannot {step}: {cause}"))
    };
    let (mut why, mut child_end) = fd::pipe().map_err(failed("make a pipe"))?;
    // What the payload leaves becomes this process's, which ends it.
    prctl::set_child_subreaper().map_err(failed("adopt orphaned processes"))?;
    let above = process::getpid();
    let too_many = |cause| {
        Refusal::internal(format!(
            "cannot start a process for the payload: {cause}: this machine has too many processes \
             or too little memory: try again later"
        ))
    };
    let child = match fork::fork().map_err(too_many)? {
        Fork::Parent(child) => child,
        Fork::Child => {
            let refusal = payload.execute(Some(above));
            let _ = child_end.write_all(&refusal.to_bytes());
            process::_exit(0)
        }
    };
    drop(child_end);
    let mut bytes = Vec::new();
    let read = why.read_to_end(&mut bytes);
    let refusal = match (Refusal::from_bytes(&bytes), read) {
        (None, Ok(_)) => return Ok(child),
        (Some(refusal), _) => refusal,
        (None, Err(error)) => {
            let _ = signal::kill(child, SIGKILL);
            Refusal::internal(format!("cannot read from the payload's process: {error}"))
        }
    };
    wait::wait(child);
    Err(refusal)
}

/// Does `work` in a process of the payload's user. Another process of that user can stop it: it is
/// killed after a second.
pub(crate) fn as_user(target: &Identity, caller: &Identity, work: impl FnOnce()) {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let child = match fork::fork() {
        Ok(Fork::Child) => {
            if switch::become_for_good(target, caller).is_ok() && prctl::clear_dumpable().is_ok() {
                work();
            }
            process::_exit(0)
        }
        Ok(Fork::Parent(child)) => child,
        Err(_) => return,
    };
    let end = Instant::now() + TIMEOUT;
    while !wait::try_wait(child) {
        if Instant::now() > end {
            let _ = signal::kill(child, SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
