//! Change of owner where this process has root's rights. A child does the work, confined to a user
//! namespace that maps the caller and the payload's user, each to itself, and no other id: whatever
//! a hostile tree leads it to, the kernel refuses it root's files and those of a third user. In
//! there it becomes the caller, or else root's files would stay readable for it.
//!
//! Other calls of the payload's account go on meanwhile. So a file of the tree counts as not
//! written to only where the kernel proves it, and what cannot be proved is copied.

use std::io::Write as _;

use command::program::Options;
use command::refusal::{Refusal, Result};
use root::config::Config;
use root::door::{self, Found};
use root::sanitize::Start;
use sys::fork::{self, Fork};
use sys::signal::{SIGHUP, SIGINT, SIGTERM, Signals};
use sys::switch::{self, Identity};
use sys::{Errno, Owner, fd, namespace, process, wait};
use tree::owner::Job;

use super::order::Order;
use super::worker::{self, Worker};
use super::{result, wait_for_answer};
use crate::lease::Usage;

/// Changes the owner of a directory as the options say. Returns the report, one line.
pub(crate) fn run(options: &Options, start: &Start, config: &Config) -> Result<String> {
    let caller = &start.caller;
    let Found { target, lease, credential, .. } = door::find(start, config)?;
    let order = as_caller(caller, || {
        let order = Order::read(options)?;
        order.check_owner([caller.user, target.identity.user])?;
        order.check_outside(&credential)?;
        Ok(order)
    })?;
    if let Usage::Take { end: true } = order.usage() {
        return Err(Refusal::copy(
            "--end would end other calls of the account too: end the job first (condor_glexec_kill \
             --family), or copy the directory",
        ));
    }
    let [before, after] = [caller, &target.identity]
        .map(|identity| Owner { uid: identity.user, gid: identity.group });
    let failed = |step: &'static str| {
        move |cause: Errno| Refusal::internal(format!("cannot {step}: {cause}"))
    };
    let signals = match order.usage() {
        Usage::Give => {
            Some(Signals::block(&[SIGHUP, SIGINT, SIGTERM]).map_err(failed("wait for signals"))?)
        }
        _ => None,
    };
    let (start_end, mut mapped) = fd::pipe().map_err(failed("make a pipe"))?;
    let (answer, answer_end) = fd::pipe().map_err(failed("make a pipe"))?;
    let above = process::getpid();
    let pid = match fork::fork_into_new_user_namespace().map_err(no_namespace)? {
        Fork::Child => worker::run(Worker {
            order: &order,
            caller: before,
            payload: after,
            becomes: Some(Identity { groups: Vec::new(), ..caller.clone() }),
            job: Job::MayRun,
            signals: signals.as_ref(),
            lock: lease.as_ref(),
            start: start_end,
            answer: answer_end,
            above,
        }),
        Fork::Parent(pid) => pid,
    };
    drop((start_end, answer_end));
    let done = namespace::map_only(pid, [before, after]);
    if done.is_ok() {
        let _ = mapped.write_all(b"x");
    }
    drop(mapped);
    let answered = wait_for_answer(pid, signals.as_ref(), answer);
    wait::wait(pid);
    done.map_err(no_namespace)?;
    result(&answered?)
}

/// Reads what the caller names with the caller's rights: the directories are opened here.
fn as_caller<T>(caller: &Identity, read: impl FnOnce() -> Result<T>) -> Result<T> {
    switch::with_files_of(caller, read).map_err(|cause| {
        Refusal::internal(format!("cannot open files with the caller's rights: {cause}"))
    })?
}

/// Without a namespace root's rights would not be confined: then the directory is copied.
fn no_namespace(cause: Errno) -> Refusal {
    Refusal::copy(format!("this machine makes no user namespace for it ({cause}): copy it"))
}
