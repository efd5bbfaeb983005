//! The processes of an account whose lease is over.

use std::time::{Duration, Instant};

use command::refusal::{Refusal, Result};
use sys::fork::{self, Fork};
use sys::signal::{self, SIGKILL};
use sys::wait::{self, End};
use sys::{Errno, Gid, Uid, identity, inherited, proc, process};

/// How long killed processes may take to end. If one does not end, the lease stays, and a later
/// call tries again.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How often the end of a process is looked for.
const PAUSE: Duration = Duration::from_micros(200);

/// Kills all processes of an account. Whether none is left. The error says why that was not tried.
pub(crate) fn kill_all(user: Uid, group: Gid) -> Result<bool> {
    let until = Instant::now() + TIMEOUT;
    let mut was_tried = kill_at_once(user, group, until)?;
    while is_running(user)? {
        if Instant::now() > until {
            return if was_tried {
                Ok(false)
            } else {
                Err(failed(user, "their killer was killed"))
            };
        }
        std::thread::sleep(Duration::from_millis(1));
        was_tried |= kill_at_once(user, group, until)?;
    }
    Ok(true)
}

fn failed(user: Uid, cause: impl std::fmt::Display) -> Refusal {
    Refusal::internal(format!(
        "cannot end the processes of uid {user}, whose lease is over: {cause}"
    ))
}

/// Kills them by one call of kill(2), with that user's rights: none of them can fork meanwhile.
/// They cannot stop the process that calls it; where they can, because a user namespace maps too
/// few ids, it is waited for until `until`. Whether that process was not killed before its end:
/// those for other users, which have the same real id, can kill it.
fn kill_at_once(user: Uid, group: Gid, until: Instant) -> Result<bool> {
    match fork::fork().map_err(|cause| failed(user, cause))? {
        Fork::Child => {
            let become_signaller = || match identity::become_signaller_of(user, group) {
                Err(Errno::EINVAL) => identity::become_user(user, group),
                became => became,
            };
            if inherited::release_all_but(&[]).is_ok() && become_signaller().is_ok() {
                let _ = signal::kill_all_others(SIGKILL);
            }
            process::_exit(0)
        }
        Fork::Parent(child) => loop {
            match wait::try_wait_for(child) {
                Ok(None) => {}
                ended => return Ok(!matches!(ended, Ok(Some(End::Killed(_))))),
            }
            if Instant::now() > until {
                let _ = signal::kill(child, SIGKILL);
            }
            std::thread::sleep(PAUSE);
        },
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
