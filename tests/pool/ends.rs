//! The end of a job in the user log: exit statuses and signals.

use crate::batch::all_are;
use crate::fixture::{End, Job};

/// Statuses that wrappers, shells, switchers and the helpers use themselves, and others.
const STATUSES: [(i32, &str, &str); 17] = [
    (0, "status-0", "exit 0"),
    (1, "status-1", "exit 1"),
    (3, "status-3", "exit 3"),
    (37, "status-37", "exit 37"),
    (126, "status-126", "exit 126"),
    (127, "status-127", "exit 127"),
    (137, "status-137", "exit 137"),
    (143, "status-143", "exit 143"),
    (201, "status-201", "exit 201"),
    (202, "status-202", "exit 202"),
    (204, "status-204", "exit 204"),
    (240, "status-240", "exit 240"),
    (241, "status-241", "exit 241"),
    (242, "status-242", "exit 242"),
    (243, "status-243", "exit 243"),
    (244, "status-244", "exit 244"),
    (255, "status-255", "exit 255"),
];

const SIGNALS: [(i32, &str, &str); 5] = [
    (2, "signal-2", "kill -2 $$"),
    (6, "signal-6", "kill -6 $$"),
    (9, "signal-9", "kill -9 $$"),
    (11, "signal-11", "kill -11 $$"),
    (15, "signal-15", "kill -15 $$"),
];

pub fn jobs() -> Vec<Job> {
    STATUSES.iter().chain(&SIGNALS).map(|(_, name, script)| Job::new(name, script)).collect()
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn an_exit_status_is_exact_in_the_user_log() {
    STATUSES.iter().for_each(|(status, name, _)| all_are(name, End::Exited(*status), ""));
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_signal_that_ends_a_job_is_exact_in_the_user_log() {
    SIGNALS.iter().for_each(|(signal, name, _)| all_are(name, End::Killed(*signal), ""));
}
