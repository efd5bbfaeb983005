//! What the caller's own process does while a payload runs: it hands every signal on, and waits.

use std::fs::File;
use std::io::Read as _;

use sys::process::End;
use sys::signal::{self, SIGCHLD, SIGCONT, SIGKILL, SIGTSTP, SIGTTIN, SIGTTOU, Signals, Told};
use sys::{Errno, Pid, Uid, fd, process};

use super::children;
use super::refusal::{Refusal, Result};

/// What a call has started, and hears of.
#[derive(Debug)]
pub struct Started {
    /// The number of the guard.
    pub guard: Pid,
    /// The other ends of the guard's wires.
    pub refused: File,
    /// As above.
    pub ended: File,
    /// The payload's user.
    pub user: Uid,
    /// Whether standard error stays open, because something is to be said in the end.
    pub keeps_error: bool,
}

/// Waits for the end of the guard: how the payload has ended, or why there is no payload.
pub fn until_end(signals: &Signals, started: Started) -> Result<End> {
    let Started { guard, user, refused, mut ended, keeps_error } = started;
    let failed = |error: std::io::Error| {
        Refusal::internal(format!("cannot hear what becomes of the payload: {error}"))
    };
    let mut why = Vec::new();
    // None once the payload is executed, or is not going to be.
    let mut unknown = Some(refused);
    loop {
        let is_signal = match &unknown {
            None => true,
            Some(refused) => {
                let (is_signal, is_told) = match fd::wait_for_either(signals, refused) {
                    Err(Errno::EINTR) => continue,
                    either => either.map_err(|cause| failed(cause.into()))?,
                };
                if is_told {
                    let mut refused: &File = refused;
                    refused.read_to_end(&mut why).map_err(failed)?;
                    unknown = None;
                    if why.is_empty() {
                        // What the payload closes is closed.
                        let _ = if keeps_error {
                            fd::close_input_and_output()
                        } else {
                            fd::close_standard()
                        };
                    }
                }
                is_signal
            }
        };
        if is_signal && hand_on(signals, guard) {
            break;
        }
    }
    let mut status = [0; 4];
    let told = ended.read_exact(&mut status);
    if told.is_err() {
        // Somebody has killed the guard. Where it was the first process of its namespace, nothing
        // is left; else it is this process's by now.
        children::end_those_of(user);
    }
    if let Some(mut refused) = unknown {
        refused.read_to_end(&mut why).map_err(failed)?;
    }
    match (Refusal::heard(&why), told) {
        (Some(refusal), _) => Err(refusal),
        (None, Ok(())) => Ok(End::from_bytes(status)),
        (None, Err(_)) => Ok(End::Killed(SIGKILL)),
    }
}

/// Hands the next signal on to the guard; whether the guard has ended.
fn hand_on(signals: &Signals, guard: Pid) -> bool {
    match signals.next() {
        // Also for children that the caller had, and what they have left: nobody else waits for
        // them now.
        Ok(Told { number: SIGCHLD, .. }) => {
            return std::iter::from_fn(process::reap).any(|(pid, _)| pid == guard);
        }
        // From a terminal, it is for the shell to see that this process stops. It does not for
        // others: who continues it could come before it stops.
        Ok(Told { number: SIGTSTP | SIGTTIN | SIGTTOU, from_kernel: true }) => {
            let _ = signal::send_by_number(guard, SIGTSTP);
            signal::stop_self();
            let _ = signal::send_by_number(guard, SIGCONT);
        }
        Ok(Told { number, .. }) => {
            let _ = signal::send_by_number(guard, number);
        }
        Err(_) => {}
    }
    false
}
