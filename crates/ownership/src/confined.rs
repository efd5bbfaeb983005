//! Change of owner where this process has root's rights. A child does the work, confined to a user
//! namespace that maps the caller and the payload's user, each to itself, and no other id: whatever
//! a hostile tree leads it to, the kernel refuses it root's files and those of a third user. In
//! there it becomes the caller, or else root's files would stay readable for it.
//!
//! Other calls of the payload's account go on meanwhile. So a file of the tree counts as not
//! written to only where the kernel proves it, and what cannot be proved is copied.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use command::refusal::{Refusal, Result};
use sys::fork::{self, Fork};
use sys::signal::Signals;
use sys::switch::Identity;
use sys::{Errno, Owner, Pid, fd, namespace, process, wait};
use tree::owner::Job;

use super::order::Order;
use super::worker::{self, Worker};

/// A change of owner, and for whom.
pub struct Change<'a> {
    /// What is asked for.
    pub order: &'a Order,
    /// Who asks for it.
    pub caller: &'a Identity,
    /// The payload's user.
    pub payload: &'a Identity,
    /// What the child keeps open as long as it works.
    pub lock: Option<&'a File>,
    /// The signals that undo a change. The process has blocked them.
    pub signals: Option<&'a Signals>,
}

impl Change<'_> {
    /// Refuses what is not for this way. To be called with the caller's rights to files.
    /// `credential` is the path of its credential.
    pub fn check(&self, credential: &Path) -> Result<()> {
        self.order.check_owner([self.caller.user, self.payload.user])?;
        self.order.check_outside(credential)?;
        match self.order.ends_processes() {
            true => Err(Refusal::copy(
                "--end would end other calls of the account too: end the job first \
                 (condor_glexec_kill --family), or copy the directory",
            )),
            false => Ok(()),
        }
    }

    /// Changes the owner. Returns the report, one line. `wait` waits until the child's answer,
    /// which it returns, is complete.
    pub fn run(&self, wait: impl FnOnce(Pid, File) -> Result<Vec<u8>>) -> Result<String> {
        let [before, after] = [self.caller, self.payload]
            .map(|identity| Owner { uid: identity.user, gid: identity.group });
        let failed = |cause| Refusal::internal(format!("cannot make a pipe: {cause}"));
        let (start_end, mut mapped) = fd::pipe().map_err(failed)?;
        let (answer, answer_end) = fd::pipe().map_err(failed)?;
        let above = process::getpid();
        let pid = match fork::fork_into_new_user_namespace().map_err(no_namespace)? {
            Fork::Child => worker::run(Worker {
                order: self.order,
                caller: before,
                payload: after,
                becomes: Some(Identity { groups: Vec::new(), ..self.caller.clone() }),
                job: Job::MayRun,
                signals: self.signals,
                lock: self.lock,
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
        let answered = wait(pid, answer);
        wait::wait(pid);
        done.map_err(no_namespace)?;
        super::result(&answered?)
    }
}

/// Without a namespace root's rights would not be confined: then the directory is copied.
fn no_namespace(cause: Errno) -> Refusal {
    Refusal::copy(format!("this machine makes no user namespace for it ({cause}): copy it"))
}
