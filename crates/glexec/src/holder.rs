//! The guards of the calls that are made with a lease: through them its namespace can be opened.

use std::os::fd::OwnedFd;
use std::time::Duration;

use sys::{Gid, Pid, Uid, namespace, proc, process};

use super::members;
use super::refusal::{Refusal, Result};

/// A guard, through which the namespace can be opened, and when it was started.
#[derive(Clone, Copy, Debug)]
pub struct Holder {
    /// Its number.
    pub pid: Pid,
    /// When it was started: another process can get the number.
    pub started: u64,
}

impl Holder {
    /// The guard of this number; none if it has ended.
    pub fn of(pid: Pid) -> Option<Holder> {
        proc::entry(pid).ok().flatten().map(|entry| Holder { pid, started: entry.started })
    }

    /// Whether it has not ended.
    pub fn lives(&self) -> bool {
        let is = |found: proc::Entry| found.started == self.started && !found.has_ended();
        proc::entry(self.pid).is_ok_and(|found| found.is_some_and(is))
    }

    /// Whether it has ended, or does so within a moment: one that was killed still shows for a
    /// while, but nothing of it can be opened any more.
    fn has_ended_soon(&self) -> bool {
        let ended = |held| process::wait_for_end(&held, A_MOMENT).unwrap_or(false);
        !self.lives() || process::open(self.pid).is_ok_and(ended) || !self.lives()
    }
}

/// A process that was killed is gone within it.
const A_MOMENT: Duration = Duration::from_secs(2);

/// The user namespace in which processes of a lease live. A payload may have made another one in
/// there, of which it is the owner: whoever joined that would be in its hands.
pub fn namespace_of(ids: (Uid, Gid), holders: &[Holder]) -> Result<Option<OwnedFd>> {
    let is_own = |namespace: &OwnedFd| namespace::owner_of(namespace) == Ok(process::user());
    if let Some(found) =
        holders.iter().filter_map(|holder| namespace::held_by(holder.pid)).find(is_own)
    {
        return Ok(Some(found));
    }
    let (user, _) = ids;
    let members = members::of(user);
    let opened = members.iter().filter_map(|pid| namespace::user_namespace_of(*pid).ok());
    let found = opened.into_iter().find(is_own);
    if found.is_some() || members.is_empty() {
        return Ok(found);
    }
    if let Some(guard) = holders.iter().find(|holder| !holder.has_ended_soon()) {
        return Err(Refusal::internal(format!(
            "the namespace of the lease cannot be opened through its guard, process {}: is glexec installed readable (mode 0755)?",
            guard.pid
        )));
    }
    // Who is left of calls that were killed with their guards, and does not let itself be joined,
    // is in nobody's charge.
    if !members::end_all(ids) {
        return Err(Refusal::internal(format!(
            "processes of uid {user} are left of a call that is over, and do not end (process {} is one)",
            members.first().map_or(0, |pid| pid.as_raw())
        )));
    }
    Ok(None)
}
