//! The processes of an account whose lease is over.

use std::time::{Duration, Instant};

use command::refusal::{Refusal, Result};
use sys::fork::{self, Fork};
use sys::signal::{self, SIGKILL};
use sys::{Gid, Uid, identity, inherited, proc, process, wait};

/// How long killed processes may take to end. If one does not end, the lease stays, and a later
/// call tries again.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Kills all processes of an account. Whether none is left.
pub(crate) fn kill_all(user: Uid, group: Gid) -> Result<bool> {
    let until = Instant::now() + TIMEOUT;
    kill_at_once(user, group)?;
    while is_running(user)? {
        if Instant::now() > until {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(1));
        kill_at_once(user, group)?;
    }
    Ok(true)
}

/// Kills them by one call of kill(2), as that user: none of them can fork meanwhile.
fn kill_at_once(user: Uid, group: Gid) -> Result<()> {
    let failed = |cause| {
        Refusal::internal(format!(
            "cannot end the processes of uid {user}, whose lease is over: {cause}"
        ))
    };
    match fork::fork().map_err(failed)? {
        Fork::Child => {
            if inherited::release_all_but(&[]).is_ok() && identity::become_user(user, group).is_ok()
            {
                let _ = signal::kill_all_others(SIGKILL);
            }
            process::_exit(0)
        }
        Fork::Parent(child) => {
            wait::wait(child);
            Ok(())
        }
    }
}

/// Whether the user has a process that has not ended.
fn is_running(user: Uid) -> Result<bool> {
    let all = proc::pids()
        .map_err(|cause| Refusal::internal(format!("cannot read the directory /proc: {cause}")))?;
    let is_users = |pid| proc::real_and_saved_uid(pid).is_some_and(|ids| ids.contains(&user));
    let is_alive =
        |pid| proc::entry(pid).is_ok_and(|entry| entry.is_some_and(|entry| !entry.has_ended()));
    Ok(all.into_iter().any(|pid| is_users(pid) && is_alive(pid)))
}
