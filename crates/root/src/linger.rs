//! The parent of a payload. It stays as root, has nothing open but a lease, and waits.
//!
//! All signals are blocked, and all its ids are root's: so no other user can signal it, and what a
//! caller sent before that is told by its sender and dropped. A terminal's signals come from the
//! kernel: those that end a program reach the payload, which is in a session of its own; those that
//! stop one do nothing.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use hooks::session::Session;
use sys::signal::{self, Received, SIGCHLD, SIGHUP, SIGINT, SIGQUIT};
use sys::wait::{self, End, Times};
use sys::{Pid, inherited, process, stdio};

/// Lets go of everything that the caller shares with this process: its descriptors, and the file
/// system of its working directory. What stays open is the file of a lease, which ends when it is
/// not open any more, and what a session's scripts need.
pub(crate) fn let_go(lease: Option<&File>, session: Option<&Session>) {
    let _ = process::chdir(Path::new("/"));
    let _ = stdio::redirect_to_null();
    let mut keep: Vec<_> = lease.iter().map(|file| file.as_fd()).collect();
    keep.extend(session.iter().flat_map(|session| session.descriptors()));
    let _ = inherited::release_all_but(&keep);
}

/// Waits for the end of the payload. Returns how it ended, and the processor time of all children
/// that ended until then. `at_end` is called when the payload has ended and was not waited for yet,
/// `signalled` with each signal that is passed on to it.
pub(crate) fn wait_for(
    payload: Pid,
    at_end: impl FnOnce(),
    mut signalled: impl FnMut(i32),
) -> (End, Times) {
    let mut at_end = Some(at_end);
    let mut times = Times::default();
    loop {
        // It fails only if it is interrupted.
        let Ok(received) = signal::wait() else { continue };
        if received.number != SIGCHLD {
            if pass_on(payload, received) {
                signalled(received.number);
            }
            continue;
        }
        if wait::has_ended(payload) {
            at_end.take().into_iter().for_each(|at_end| at_end());
        }
        while let Some((pid, end, more)) = wait::try_wait_any_with_times() {
            times += more;
            if pid == payload {
                return (end, times);
            }
        }
    }
}

/// Passes a signal on to the payload, and returns whether it has. The payload was not waited for
/// yet: its id is no other process's.
fn pass_on(payload: Pid, received: Received) -> bool {
    match received {
        // To its process group, as a terminal does. The group is there: the payload has made it
        // before it was executed.
        Received { number: number @ (SIGINT | SIGQUIT | SIGHUP), from_kernel: true, .. } => {
            signal::killpg(payload, number).is_ok()
        }
        Received { from_kernel: false, sender, number } if sender.is_root() => {
            signal::kill(payload, number).is_ok()
        }
        _ => false,
    }
}
