//! The errands for kill: one signal to one process, and a signal to a whole family.

use std::collections::HashSet;

use error::{Context as _, Error, Result};
use sys::signal::{SIGKILL, SIGSTOP};
use sys::{Errno, Pid, process, signal};
use wire::{Channel, Frame, Hunt};

use super::family::Target;
use super::hunt::{self, Order, Outcome};
use super::remains::{self, Remains};
use super::{helper, monitor};

/// So many are named of those who are left, and of what is left behind; the others are counted.
const MOST_NAMED: usize = 20;

/// Sends one signal to one process of this user.
///
/// The process is held by a pidfd, so that a number that is used again meanwhile is not hit.
/// Whether it is this user's, the kernel decides (kill(2)): this program runs without privilege. It
/// is asked before, because SIGCONT may also be sent to anybody in the sender's session.
///
/// A sudo that stays above a job stands for the job: it is the process that a supervisor knows.
pub fn send(pid: Pid, number: i32) -> Result<()> {
    let pid = monitor::job_below(pid).unwrap_or(pid);
    let shown = format!("process {pid}");
    let sent = match process::open(pid) {
        // Stopped, it would take its sudo with it, and nobody could continue that; the job below it
        // gets a signal of its own.
        Ok(_) if number == SIGSTOP && monitor::is_stand_in(pid) => Ok(()),
        Ok(held) => signal::send(&held, 0).and_then(|()| signal::send(&held, number)),
        // Linux before 5.3 has no pidfds, and some filters of system calls forbid them.
        Err(Errno::ENOSYS | Errno::EPERM) => {
            signal::send_by_number(pid, 0).and_then(|()| signal::send_by_number(pid, number))
        }
        Err(cause) => Err(cause),
    };
    sent.map_or_else(
        |cause| match cause {
            Errno::ESRCH => Err(Error::refused(&shown, "there is no such process")),
            Errno::EPERM => Err(Error::refused(&shown, "it is not the job user's")),
            cause => Err(cause).at("send a signal to", &shown),
        },
        Ok,
    )
}

/// Carries out an order and tells the helper, over the socket on descriptor 0, what became of it.
/// With `remains`, what an account without processes has left behind is looked for, too.
pub fn hunt(order: &Order<'_>, remains: Remains) -> Result<()> {
    let mut channel = helper::take_socket()?;
    // Before anything else.
    let meant = match (&order.target, order.signal) {
        (Target::Account, SIGKILL) if order.grace.is_zero() => hunt::kill_all_at_once(),
        _ => Ok(HashSet::new()),
    };
    helper::greet(&mut channel)?;
    let hunted = meant.and_then(|meant| {
        hunt::hunt(order, meant, &mut || channel.keep_alive().is_ok() && !channel.is_closed())
    });
    let told = hunted.and_then(|outcome| tell(outcome, remains, &mut channel));
    told.or_else(|error| helper::give_up(&mut channel, error))
}

/// Tells the helper what became of a hunt.
pub(super) fn tell(outcome: Outcome, remains: Remains, channel: &mut Channel) -> Result<()> {
    for (pid, why) in outcome.left.iter().take(MOST_NAMED) {
        channel
            .queue(Frame::Survivor { pid: *pid, text: why.as_bytes() })
            .map_err(helper::broken)?;
    }
    let left = outcome.left.len() as u64;
    let caller = channel.maker().map_err(helper::broken)?;
    // A helper that is gone is noticed at the end.
    let mut beat = || {
        let _ = channel.keep_alive();
    };
    // What the living leave is still theirs.
    let found = match left {
        0 => remains::look_after(remains, caller, &mut beat),
        _ => remains::Found::default(),
    };
    for name in found.names.iter().take(MOST_NAMED) {
        channel.queue(Frame::Remains { text: name.as_bytes() }).map_err(helper::broken)?;
    }
    let Outcome { processes, rounds, untold, .. } = outcome;
    let (remains, removed) = (found.names.len() as u64, found.removed);
    channel
        .send(Frame::Hunted { hunt: Hunt { processes, rounds, untold, left, remains, removed } })
        .map_err(helper::broken)
}
