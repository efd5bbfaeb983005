//! The living processes of a lease: those that have its user id.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use sys::namespace::{self, Fork};
use sys::signal::SIGKILL;
use sys::{Gid, Pid, Uid, fd, proc, process, signal};

use super::idmap;
use super::refusal::{Refusal, Result};

/// So long a call waits for who is left of a lease to end. If somebody does not, as one who waits
/// for a disk, the lease stays, and the next call tries again.
const FAREWELL: Duration = Duration::from_secs(1);

/// For those who wait for a disk, so long must do: every call has to wait for them.
const SHORT_FAREWELL: Duration = Duration::from_millis(50);

/// The living processes of a user id, as far as this user may signal them: it owns the namespace
/// that they are in.
pub fn of(user: Uid) -> Vec<Pid> {
    let may_signal = |pid: &Pid| signal::send_by_number(*pid, 0).is_ok();
    let is = |pid: &Pid| proc::owners(*pid).is_some_and(|owners| owners.contains(&user));
    proc::numbers()
        .unwrap_or_default()
        .into_iter()
        .filter(may_signal)
        .filter(is)
        .filter(|pid| lives(*pid))
        .collect()
}

/// Those of these user ids that living processes have, whoever may signal them: with a set-user-ID
/// file, any account of the machine could have one.
///
/// Where /proc hides processes of others (hidepid of proc(5)), those in the caller's own namespaces
/// still show.
pub fn ids_in_use(is_one: impl Fn(&Uid) -> bool) -> Result<HashSet<Uid>> {
    let all = proc::numbers()
        .map_err(|cause| Refusal::internal(format!("cannot read the directory /proc: {cause}")))?;
    let mut found = HashSet::new();
    for pid in all {
        let ids: Vec<Uid> = proc::user_ids(pid).into_iter().flatten().filter(&is_one).collect();
        if !ids.is_empty() && lives(pid) {
            found.extend(ids);
        }
    }
    Ok(found)
}

fn lives(pid: Pid) -> bool {
    proc::entry(pid).is_ok_and(|entry| entry.is_some_and(|entry| !entry.has_ended()))
}

/// Ends all processes of a user id that its owner may signal; whether none of them is left.
pub fn end_all(ids: (Uid, Gid)) -> bool {
    let started = Instant::now();
    // A look that finds nobody proves nothing: who has children all the time can pass it by.
    if kill_at_one_moment(ids).is_err() {
        return false;
    }
    loop {
        let left = of(ids.0);
        let waits = |pid: &Pid| {
            proc::entry(*pid)
                .is_ok_and(|entry| entry.is_some_and(|entry| entry.waits_for_a_device()))
        };
        let patience = if left.iter().all(waits) { SHORT_FAREWELL } else { FAREWELL };
        if left.is_empty() || started.elapsed() > patience {
            return left.is_empty();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills all processes of a user id, as that user, with one call: none of them can have a child
/// meanwhile.
fn kill_at_one_moment(ids: (Uid, Gid)) -> Result<()> {
    let forbidden = |cause| Refusal::forbidden("end who is left of a lease", cause);
    let (mut mapped, mut maps) = fd::pipe().map_err(forbidden)?;
    match namespace::fork_into_new_user_namespace().map_err(forbidden)? {
        Fork::Child => {
            let closed = fd::close_above_2_but(&[mapped.as_fd()]).is_ok();
            if closed
                && mapped.read_exact(&mut [0]).is_ok()
                && namespace::become_user(ids.0, ids.1).is_ok()
            {
                let _ = signal::send_to_all_others(SIGKILL);
            }
            process::exit(0)
        }
        Fork::Parent(pid) => {
            let done = idmap::map(pid, ids);
            if done.is_ok() {
                let _ = maps.write_all(b"x");
            }
            drop(maps);
            process::reap_one(pid);
            done
        }
    }
}
