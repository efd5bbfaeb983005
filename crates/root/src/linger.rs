//! The parent of a payload. It stays as root, has nothing open but a lease and what its origin and
//! the session scripts need, and waits.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Instant;

use hooks::session::Session;
use sys::signal::{self, SIGCONT, SIGSTOP, SIGTSTP};
use sys::wait::{self, End, Times};
use sys::{Pid, inherited, process, stdio};

use crate::family;
use crate::origin::{Event, Origin};
use crate::watch::{Exceeded, Watch};

/// Lets go of everything that the caller shares with this process: its descriptors, and the file
/// system of its working directory. What stays open is the file of a lease, which ends when it is
/// not open any more, and what a session's scripts and the origin need.
pub(crate) fn let_go(lease: Option<&File>, session: Option<&Session>, origin: &dyn Origin) {
    let _ = process::chdir(Path::new("/"));
    let _ = stdio::redirect_to_null();
    let mut keep: Vec<_> = lease.iter().map(|file| file.as_fd()).collect();
    keep.extend(session.iter().flat_map(|session| session.descriptors()));
    keep.extend(origin.descriptors());
    let _ = inherited::release_all_but(&keep);
}

/// Waits for the end of the payload. Returns how it ended, and the processor time of all children
/// that ended until then. A payload that exceeds a limit that is watched is killed. `at_end` is
/// called when the payload has ended and was not waited for yet, `signalled` with each signal that
/// is passed on to it, `exceeded` with the limit.
pub(crate) fn wait_for(
    payload: Pid,
    origin: &mut dyn Origin,
    mut watch: Option<Watch>,
    mut exceeded: impl FnMut(Exceeded),
    at_end: impl FnOnce(),
    mut signalled: impl FnMut(i32),
) -> (End, Times) {
    let mut at_end = Some(at_end);
    let mut times = Times::default();
    loop {
        match origin.next(watch.as_ref().map(Watch::next)) {
            // The payload was not waited for yet: its id is no other process's.
            Event::Signal { number, to_group } => {
                let sent = match to_group {
                    true => signal::killpg(payload, number),
                    false => signal::kill(payload, number),
                };
                if sent.is_ok() {
                    signalled(number);
                }
            }
            Event::Stop => {
                family::signal_all(SIGSTOP);
                signalled(SIGTSTP);
            }
            Event::Continue => {
                family::signal_all(SIGCONT);
                signalled(SIGCONT);
            }
            Event::End => family::kill(payload),
            Event::Child | Event::Deadline => {}
        }
        // A look is due also where signals come all the time.
        if let Some(due) = watch.as_mut().filter(|watch| watch.next() <= Instant::now()) {
            if let Some(found) = due.look() {
                exceeded(found);
                due.kill();
                // Once is enough: what a device holds ends when that lets it go.
                watch = None;
            }
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
