//! The living processes of a lease: those that have its user id.

use std::time::{Duration, Instant};

use crate::sys::signal::SIGKILL;
use crate::sys::{proc, process, signal};

/// So long a call waits for who is left of a lease to end. If somebody does not, as one who waits for a disk, the lease stays, and the next
/// call tries again.
const FAREWELL: Duration = Duration::from_secs(1);

/// For those who wait for a disk, so long must do: every call has to wait for them.
const SHORT_FAREWELL: Duration = Duration::from_millis(50);

/// The living processes of a user id, as far as this user may signal them: it owns the namespace that they are in.
pub fn of(user: u32) -> Vec<i32> {
    let may_signal = |pid: &i32| signal::send_by_number(*pid, 0).is_ok();
    let is = |pid: &i32| proc::owners(*pid).is_some_and(|owners| owners.contains(&user));
    let lives = |pid: &i32| proc::entry(*pid).is_ok_and(|entry| entry.is_some_and(|entry| !entry.has_ended()));
    proc::numbers().unwrap_or_default().into_iter().filter(may_signal).filter(is).filter(lives).collect()
}

/// Ends all processes of a user id; whether none is left.
pub fn end_all(user: u32) -> bool {
    let started = Instant::now();
    loop {
        let left = of(user);
        let waits =
            |pid: &i32| proc::entry(*pid).is_ok_and(|entry| entry.is_some_and(|entry| entry.waits_for_a_device()));
        let patience = if left.iter().all(waits) { SHORT_FAREWELL } else { FAREWELL };
        if left.is_empty() || started.elapsed() > patience {
            return left.is_empty();
        }
        for pid in left {
            let killed = process::open(pid).and_then(|held| {
                // Held first: whoever has the number now is meant only if it is this user's.
                if proc::owners(pid).is_some_and(|owners| owners.contains(&user)) {
                    signal::send(&held, SIGKILL)
                } else {
                    Ok(())
                }
            });
            let _ = killed;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
