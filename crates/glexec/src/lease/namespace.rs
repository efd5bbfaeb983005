//! The user namespace that the processes of a lease are in.

use std::os::fd::OwnedFd;
use std::time::Duration;

use command::refusal::{Refusal, Result};
use sys::{namespace, process};

use super::guard_id::GuardId;
use super::processes;
use crate::ranges::Ids;

/// How long a guard that was killed may take to end.
const GUARD_END: Duration = Duration::from_secs(2);

/// Opens the user namespace of the lease's processes; none if the lease has no process.
///
/// Only a namespace that the caller owns counts: a payload can make one inside it, and a process
/// that joined that one would be under the payload's control.
pub(crate) fn open(ids: Ids, guards: &[GuardId]) -> Result<Option<OwnedFd>> {
    let is_callers =
        |namespace: &OwnedFd| namespace::owner_uid(namespace) == Ok(process::geteuid());
    if let Some(found) = guards
        .iter()
        .filter_map(|guard| namespace::user_namespace_held_by(guard.pid))
        .find(is_callers)
    {
        return Ok(Some(found));
    }
    let processes = processes::of(ids.user);
    let opened = processes.iter().filter_map(|pid| namespace::user_namespace_of(*pid).ok());
    let found = opened.into_iter().find(is_callers);
    if found.is_some() {
        return Ok(found);
    }
    let Some(first) = processes.first() else { return Ok(None) };
    if let Some(guard) = guards.iter().find(|guard| !guard.ends_within(GUARD_END)) {
        return Err(Refusal::internal(format!(
            "cannot open the namespace of the lease through its guard, process {}: is the file of \
             glexec readable (mode 0755)?",
            guard.pid
        )));
    }
    // What is left of killed calls has no guard that would end it.
    if !processes::kill_all(ids) {
        return Err(Refusal::internal(format!(
            "processes of uid {} remain from an earlier call and do not end after SIGKILL, such \
             as process {first}",
            ids.user
        )));
    }
    Ok(None)
}
