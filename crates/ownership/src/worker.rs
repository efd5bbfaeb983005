//! The worker: the process that changes owners.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use command::refusal::{Refusal, Result};
use sys::signal::{self, SIGKILL, Signals};
use sys::switch::{self, Identity};
use sys::{Owner, Pid, inherited, prctl, process};
use tree::owner::Job;

use super::order::Order;
use super::users::Users;
use super::{AGAIN, give, take, undo};
use world::restrictions;

/// What the worker needs.
pub struct Worker<'a> {
    /// What it does.
    pub order: &'a Order,
    /// The caller as the namespace shows it.
    pub caller: Owner,
    /// The payload's user; the namespace shows it as it is.
    pub payload: Owner,
    /// Whom the process becomes in the namespace, with its capabilities there; none if it is that
    /// user already.
    pub becomes: Option<Identity>,
    /// Whether the payload's user may have processes meanwhile.
    pub job: Job,
    /// The signals that undo a change.
    pub signals: Option<&'a Signals>,
    /// The lock of the lease. It stays open here: nothing else has the lease before this process
    /// has ended.
    pub lock: Option<&'a File>,
    /// A byte comes when the ids are mapped; the pipe ends without one if they cannot be mapped.
    pub start: File,
    /// Gets the answer.
    pub answer: File,
    /// The process above.
    pub above: Pid,
}

/// What the worker tells the process above.
pub(super) enum Answer {
    /// All is done; this is the report.
    Done(String),
    /// Why not.
    Refused(Refusal),
}

impl Answer {
    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Answer::Done(report) => [&[0], report.as_bytes()].concat(),
            Answer::Refused(refusal) => refusal.to_bytes(),
        }
    }

    /// Reads what [`Answer::to_bytes`] has made; none if the worker was killed before.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Answer> {
        match bytes.split_first() {
            Some((0, report)) => Some(Answer::Done(String::from_utf8_lossy(report).into_owned())),
            _ => Refusal::from_bytes(bytes).map(Answer::Refused),
        }
    }
}

/// Runs the worker, in a process of its own, in a user namespace of its own.
pub fn run(mut worker: Worker<'_>) -> ! {
    let answer = match work(&mut worker) {
        Ok(report) => Answer::Done(report),
        Err(refusal) => Answer::Refused(refusal),
    };
    let _ = worker.answer.write_all(&answer.to_bytes());
    process::_exit(0)
}

fn work(worker: &mut Worker<'_>) -> Result<String> {
    let failed = |step: &'static str| move |cause| restrictions::forbidden(step, cause);
    prctl::set_pdeathsig(SIGKILL).map_err(failed("ask for a signal at the end of the caller"))?;
    if process::getppid() != worker.above {
        process::_exit(0);
    }
    let mut keep = vec![worker.start.as_fd(), worker.answer.as_fd()];
    keep.extend(worker.lock.map(|lock| lock.as_fd()));
    keep.extend(worker.signals.map(|signals| signals.as_fd()));
    keep.extend(worker.order.places().map(|place| place.parent.as_fd()));
    inherited::release_all_but(&keep).map_err(failed("close the caller's descriptors"))?;
    if worker.start.read_exact(&mut [0]).is_err() {
        process::_exit(0); // the process above knows why, and tells it
    }
    if let Some(user) = &worker.becomes {
        switch::become_with_capabilities(user).map_err(failed("become the caller"))?;
        // The change of user has undone that.
        prctl::set_pdeathsig(SIGKILL)
            .map_err(failed("ask for a signal at the end of the caller"))?;
        if process::getppid() != worker.above {
            process::_exit(0);
        }
    }
    // Not earlier: newuidmap(1) requires that this process's files in /proc are the caller's.
    prctl::clear_dumpable().map_err(failed("hide this process from others"))?;
    signal::ignore_sigxfsz();
    let users = Users::of(worker.caller, worker.payload, worker.job)?;
    if worker.job == Job::Ended {
        // The lock of the lease excludes another call that changes this user's directories.
        worker.order.places_of_directory().for_each(|place| tree::owner::sweep(place, &users.ids));
    }
    match worker.order {
        Order::Give { place, to, mode, fill_from, confirm, top_limit } => {
            let giving = give::Giving {
                place,
                to: to.as_ref(),
                mode: *mode,
                fill_from: fill_from.as_ref(),
                confirm: *confirm,
                top_limit: *top_limit,
                has_to_be_reached: true,
                finished_by: AGAIN,
                users,
            };
            giving.run(worker.signals)
        }
        Order::Take { place, exchange, links, top_limit, .. } => {
            take::take(place, exchange.as_ref(), *links, *top_limit, users)
        }
        Order::Undo { place, .. } => undo::run(place, users),
    }
}
