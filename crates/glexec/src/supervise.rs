//! The caller's own process while a payload runs: it forwards signals to the guard, and waits.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use command::refusal::{Refusal, Result};
use sys::signal::{self, Received, SIGCHLD, SIGCONT, SIGKILL, SIGTSTP, SIGTTIN, SIGTTOU, Signals};
use sys::wait::{self, End};
use sys::{Errno, Pid, Uid, fd, stdio};

use hooks::session::Session;

use crate::children;
use crate::lease::Lease;

/// The guard of a call, with the caller's ends of its pipes.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Its process id.
    pub(crate) pid: Pid,
    /// The payload's user.
    pub(crate) user: Uid,
    /// Why the payload was not executed; ends without a byte if it was.
    pub(crate) refusal: File,
    /// How the payload has ended.
    pub(crate) status: File,
    /// Whether standard error stays open, for a message at the end.
    pub(crate) keeps_error: bool,
}

/// What a guard needs to take back what the payload had.
pub(crate) struct Taking<'a> {
    /// Gets a byte when no process of the payload's user is left.
    pub(crate) permit: File,
    /// The lease of the payload.
    pub(crate) lease: &'a Lease,
}

impl Taking<'_> {
    /// Ends all processes of the payload's user, outside of the guard's pid namespace, and lets the
    /// guard go on. Whether none is left.
    fn permit(&mut self, guard: Pid) -> bool {
        let is_idle = self.lease.end_others(guard).is_ok();
        if is_idle {
            let _ = self.permit.write_all(b"x");
        }
        is_idle
    }
}

/// Waits for the end of the guard: returns how the payload has ended, or why it was not executed.
/// The session's scripts run when the payload is suspended or continued.
pub(crate) fn wait_for_end(
    signals: &Signals,
    guard: Guard,
    mut taking: Option<Taking<'_>>,
    mut session: Option<&mut Session>,
) -> Result<End> {
    let Guard { pid, user, refusal, mut status, keeps_error } = guard;
    let failed = |error: std::io::Error| {
        Refusal::internal(format!("cannot read from the guard of the payload: {error}"))
    };
    let mut why = Vec::new();
    // None once it is known whether the payload is executed.
    let mut pending = Some(refusal);
    let mut bytes = [0; 4];
    let (mut end, mut idle) = (None, None);
    loop {
        // What is not waited for is replaced by the signals.
        let known = pending.as_ref().map_or(signals.as_fd(), |refusal| refusal.as_fd());
        let ended = taking.as_ref().map_or(signals.as_fd(), |_| status.as_fd());
        let [is_signal, is_known, has_ended] =
            match fd::poll_readable([signals.as_fd(), known, ended], None) {
                Err(Errno::EINTR) => continue,
                either => either.map_err(|cause| failed(cause.into()))?,
            };
        if let Some(mut refusal) = pending.take_if(|_| is_known) {
            refusal.read_to_end(&mut why).map_err(failed)?;
            if why.is_empty() {
                // This process must not keep a pipe of the payload's open.
                let _ = if keeps_error {
                    stdio::redirect_input_and_output_to_null()
                } else {
                    stdio::redirect_to_null()
                };
            }
        }
        if let Some(mut taking) = taking.take_if(|_| has_ended) {
            let read = status.read_exact(&mut bytes);
            if read.is_ok() && taking.permit(pid) {
                idle = Some(taking.lease);
            }
            end = Some(read);
        }
        if is_signal && forward_signal(signals, pid, session.as_deref_mut()) {
            break;
        }
    }
    if let Some(lease) = idle {
        lease.mark_idle();
    }
    let end = end.unwrap_or_else(|| status.read_exact(&mut bytes));
    if end.is_err() {
        // The guard was killed. If it was the first process of its namespace, none is left there;
        // else this process has adopted what is left.
        children::kill_all_of(user);
    }
    if let Some(mut refusal) = pending {
        refusal.read_to_end(&mut why).map_err(failed)?;
    }
    match (Refusal::from_bytes(&why), end) {
        (Some(refusal), _) => Err(refusal),
        (None, Ok(())) => Ok(End::from_bytes(bytes)),
        (None, Err(_)) => Ok(End::Killed(SIGKILL)),
    }
}

/// Forwards the next signal to the guard. Whether the guard has ended.
fn forward_signal(signals: &Signals, guard: Pid, mut session: Option<&mut Session>) -> bool {
    let changed = |session: &mut Option<&mut Session>, is_active| {
        if let Some(session) = session {
            session.changed(is_active);
        }
    };
    match signals.read() {
        // Reaps other children too: those that the caller had, and their orphans. No other process
        // waits for them.
        Ok(Received { number: SIGCHLD, .. }) => {
            return std::iter::from_fn(wait::try_wait_any).any(|(pid, _)| pid == guard);
        }
        // A shell expects that the terminal's signal stops this process. One of another process
        // only stops the payload: if this process stopped too, a SIGCONT could come before that.
        Ok(Received { number: SIGTSTP | SIGTTIN | SIGTTOU, from_kernel: true, .. }) => {
            let _ = signal::kill(guard, SIGTSTP);
            changed(&mut session, false);
            signal::stop_self();
            let _ = signal::kill(guard, SIGCONT);
            changed(&mut session, true);
        }
        Ok(Received { number, .. }) => {
            let _ = signal::kill(guard, number);
            match number {
                SIGTSTP | SIGTTIN | SIGTTOU => changed(&mut session, false),
                SIGCONT => changed(&mut session, true),
                _ => {}
            }
        }
        Err(_) => {}
    }
    false
}
