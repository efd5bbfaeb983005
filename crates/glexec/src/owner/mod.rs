//! Change of the owner of a directory by a call, whose steps are those of the crate `ownership`.
//!
//! - [`run`]: the caller's process. It holds the lease, so that no payload has the user meanwhile,
//!   starts the worker, forwards signals, and waits;
//! - [`confined`]: the same where `glexec` has root's rights.

pub(crate) mod confined;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use command::program::Options;
use command::refusal::{Refusal, Result};
use ownership::worker::{self, Worker};
use ownership::{Order, result};
use sys::fork::{self, Fork};
use sys::signal::{self, SIGHUP, SIGINT, SIGTERM, Signals};
use sys::{Errno, Gid, Owner, Pid, Uid, fd, process, wait};
use tree::owner::Job;
use world::restrictions;

use crate::lease::{self, Usage};
use crate::ranges::Ranges;
use crate::request::Wish;
use crate::{idmap, rootless};

/// Changes the owner of a directory as the options say. Returns the report, one line. `user`
/// becomes the user id of the lease.
pub(crate) fn run(options: &Options, user: &mut Option<Uid>) -> Result<String> {
    let order = Order::read(options)?;
    let wish = Wish::read()?;
    rootless::prepare()?;
    let ranges = Ranges::of(process::geteuid())?;
    let acquired = lease::acquire(&wish, usage(&order), &ranges)?;
    *user = Some(acquired.lease.ids.user);
    order.check_owner([process::geteuid(), acquired.lease.ids.user])?;
    for needed in [&wish.credential.path, acquired.directory()] {
        order.check_outside(needed)?;
    }
    let lease = acquired.unlock();
    let failed = |cause| Refusal::internal(format!("cannot wait for signals: {cause}"));
    // A signal ends the taking of a directory at once: the next call finishes it.
    let signals = match order.is_give() {
        true => Some(Signals::block(&[SIGHUP, SIGINT, SIGTERM]).map_err(failed)?),
        false => None,
    };
    let failed = |cause| Refusal::internal(format!("cannot make a pipe: {cause}"));
    let (start, mut mapped) = fd::pipe().map_err(failed)?;
    let (answer, answer_end) = fd::pipe().map_err(failed)?;
    let above = process::getpid();
    let forbidden =
        |cause| restrictions::forbidden("start a process in a new user namespace", cause);
    let pid = match fork::fork_into_new_user_namespace().map_err(forbidden)? {
        Fork::Child => worker::run(Worker {
            order: &order,
            caller: Owner { uid: Uid::from_raw(0), gid: Gid::from_raw(0) },
            payload: Owner { uid: lease.ids.user, gid: lease.ids.group },
            becomes: None,
            job: Job::Ended,
            signals: signals.as_ref(),
            lock: Some(&lease.calls),
            start,
            answer: answer_end,
            above,
        }),
        Fork::Parent(pid) => pid,
    };
    drop((start, answer_end));
    let done = idmap::map_with_own_group(pid, lease.ids);
    if done.is_ok() {
        let _ = mapped.write_all(b"x");
    }
    drop(mapped);
    let answered = wait_for_answer(pid, signals.as_ref(), answer);
    wait::wait(pid);
    done?;
    result(&answered?)
}

/// What the lease is used for.
fn usage(order: &Order) -> Usage {
    match order.is_give() {
        true => Usage::Give,
        false => Usage::Take { end: order.ends_processes() },
    }
}

/// Forwards signals to the worker until its answer is complete.
fn wait_for_answer(worker: Pid, signals: Option<&Signals>, mut answer: File) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| {
        Refusal::internal(format!("cannot read from the process that changes the owner: {error}"))
    };
    if let Some(signals) = signals {
        loop {
            let [is_signal, is_answer] =
                match fd::poll_readable([signals.as_fd(), answer.as_fd()], None) {
                    Err(Errno::EINTR) => continue,
                    either => either.map_err(|cause| failed(cause.into()))?,
                };
            if is_answer {
                break;
            }
            if let (true, Ok(received)) = (is_signal, signals.read()) {
                let _ = signal::kill(worker, received.number);
            }
        }
    }
    let mut bytes = Vec::new();
    answer.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
