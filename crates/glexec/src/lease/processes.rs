//! The processes of a lease: those that have its user id and have not ended.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use command::refusal::{Refusal, Result};
use sys::fork::{self, Fork};
use sys::signal::{self, SIGKILL};
use sys::{Pid, Uid, fd, identity, inherited, namespace, prctl, proc, process, wait};

use crate::ranges::Ids;
use ::world::restrictions;

use crate::idmap;

/// How long killed processes may take to end. If one does not end, the lease stays, and the next
/// call tries again.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// The same where all of them wait for a device or a file server (state D): that can last, and each
/// call would wait.
const BLOCKED_TIMEOUT: Duration = Duration::from_millis(50);

/// The processes of a user id that this user may signal, because it owns their namespace.
pub(crate) fn of(user: Uid) -> Vec<Pid> {
    let may_signal = |pid: &Pid| signal::kill(*pid, 0).is_ok();
    let is_users =
        |pid: &Pid| proc::real_and_saved_uid(*pid).is_some_and(|owners| owners.contains(&user));
    proc::pids()
        .unwrap_or_default()
        .into_iter()
        .filter(may_signal)
        .filter(is_users)
        .filter(|pid| is_alive(*pid))
        .collect()
}

/// Those of the user ids in question that any process has, also one that this user may not signal:
/// any account of the machine can get such an id through a set-user-ID file.
///
/// Where /proc hides the processes of other users (hidepid, proc(5)), those in the caller's own
/// namespaces are still listed.
pub(crate) fn user_ids_in_use(is_in_question: impl Fn(&Uid) -> bool) -> Result<HashSet<Uid>> {
    let all = proc::pids()
        .map_err(|cause| Refusal::internal(format!("cannot read the directory /proc: {cause}")))?;
    let mut found = HashSet::new();
    for pid in all {
        let ids: Vec<Uid> = proc::uids(pid).into_iter().flatten().filter(&is_in_question).collect();
        if !ids.is_empty() && is_alive(pid) {
            found.extend(ids);
        }
    }
    Ok(found)
}

fn is_alive(pid: Pid) -> bool {
    proc::entry(pid).is_ok_and(|entry| entry.is_some_and(|entry| !entry.has_ended()))
}

/// Kills all processes of a user id that this user may signal. Whether none is left.
pub(crate) fn kill_all(ids: Ids) -> bool {
    // An empty listing proves nothing: a process that forks all the time can be missed by it.
    kill_at_once(ids).is_ok() && wait_for_end(ids)
}

/// The same where the user namespace of these processes is known, which costs less.
pub(crate) fn kill_all_in(namespace: &OwnedFd, ids: Ids) -> bool {
    kill_in(namespace, ids).is_ok() && wait_for_end(ids)
}

/// Waits until killed processes have ended. Whether none is left.
fn wait_for_end(ids: Ids) -> bool {
    let started = Instant::now();
    loop {
        let left = of(ids.user);
        let is_blocked = |pid: &Pid| {
            proc::entry(*pid)
                .is_ok_and(|entry| entry.is_some_and(|entry| entry.is_uninterruptible()))
        };
        let timeout = if left.iter().all(is_blocked) { BLOCKED_TIMEOUT } else { KILL_TIMEOUT };
        if left.is_empty() || started.elapsed() > timeout {
            return left.is_empty();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills all processes of a user id by one call of kill(2), as that user: none of them can fork
/// meanwhile.
fn kill_at_once(ids: Ids) -> Result<()> {
    let forbidden = |cause| restrictions::forbidden("end the processes of a lease", cause);
    let (mut is_mapped, mut mapped) = fd::pipe().map_err(forbidden)?;
    match fork::fork_into_new_user_namespace().map_err(forbidden)? {
        Fork::Child => {
            let closed = inherited::release_all_but(&[is_mapped.as_fd()]).is_ok();
            if closed && is_mapped.read_exact(&mut [0]).is_ok() {
                kill_as(ids);
            }
            process::_exit(0)
        }
        Fork::Parent(pid) => {
            let done = idmap::map(pid, ids);
            if done.is_ok() {
                let _ = mapped.write_all(b"x");
            }
            drop(mapped);
            wait::wait(pid);
            done
        }
    }
}

/// As [`kill_at_once`], in a namespace that maps the ids.
fn kill_in(namespace: &OwnedFd, ids: Ids) -> Result<()> {
    let forbidden = |cause| restrictions::forbidden("end the processes of a lease", cause);
    match fork::fork().map_err(forbidden)? {
        Fork::Child => {
            // For a moment it has the caller's rights there: no process may trace it.
            let joined = inherited::release_all_but(&[namespace.as_fd()])
                .and_then(|()| prctl::clear_dumpable())
                .and_then(|()| namespace::join_user_namespace(namespace));
            if joined.is_ok() {
                kill_as(ids);
            }
            process::_exit(0)
        }
        Fork::Parent(pid) => {
            wait::wait(pid);
            Ok(())
        }
    }
}

/// Becomes the user, and kills all others of its processes.
fn kill_as(ids: Ids) {
    if identity::become_user(ids.user, ids.group).is_ok() {
        let _ = signal::kill_all_others(SIGKILL);
    }
}
