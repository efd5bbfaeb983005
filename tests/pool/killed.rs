//! What is left when the processes above a payload are killed. These tests have a pool of their
//! own, so that what they find left is of their own jobs.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::fixture::{End, Job, LIMIT, Pool, Submitted, Way, until, ways_or};

/// One of these tests at a time.
fn alone() -> (MutexGuard<'static, ()>, &'static Pool) {
    static POOL: OnceLock<Pool> = OnceLock::new();
    static ONE: Mutex<()> = Mutex::new(());
    let lock = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let ways = ways_or("rootless,sudo").replace("none,", "");
    (lock, POOL.get_or_init(|| Pool::start("killed", &ways, 1, 0)))
}

/// Has children that resist: one in the background, and one in a session of its own, with an empty
/// environment and no descriptor.
const RESISTS: &str = r#"
trap '' TERM HUP
child='trap "" TERM HUP; exec -a "child.$0" sleep 100000'
env -i setsid bash -c "$child" "$1" </dev/null >/dev/null 2>&1 &
bash -c "$child" "$1" &
while :; do sleep 1; done
"#;

const fn resists(name: &'static str) -> Job {
    Job::new(name, RESISTS).with("arguments = {word}")
}

fn children(pool: &Pool, way: &Way, job: &Job) -> usize {
    pool.processes(&format!("child.{}", job.word(way))).len()
}

/// Submits the job and waits until it runs.
fn started(pool: &Pool, way: &Way, job: &Job) -> Submitted {
    let submitted = job.submit(pool, way);
    let running = until(LIMIT, || (children(pool, way, job) == 2).then_some(()));
    assert!(running.is_some(), "{}: {}", way.name, submitted.log());
    submitted
}

/// Sends SIGKILL to the processes of the batch user on the node with this name.
fn kill(pool: &Pool, way: &Way, name: &str) {
    let output = pool.run(&way.node, &["pkill", "-KILL", "-u", "pilot", "-f", name]);
    assert!(output.status.success(), "{}: no {name}: {output:?}", way.name);
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_job_whose_wrapper_is_killed_has_ended_by_that_signal_and_nothing_is_left() {
    const JOB: Job = resists("wrapper");
    let (_one, pool) = alone();
    for way in pool.ours() {
        let submitted = started(pool, way, &JOB);
        kill(pool, way, "condor_glexec_user_job_wrapper");
        assert_eq!(submitted.end(), End::Killed(9), "{}", way.name);
        pool.wait_until_nothing_is_left(way);
    }
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn nothing_is_left_of_a_job_whose_starter_is_killed() {
    const JOB: Job = resists("starter");
    let (_one, pool) = alone();
    for way in pool.ours() {
        let submitted = started(pool, way, &JOB);
        pool.central(&["condor_qedit", &submitted.id(), "Requirements", "False"]);
        kill(pool, way, "^condor_starter");
        pool.wait_until_nothing_is_left(way);
        pool.central(&["condor_rm", &submitted.id()]);
    }
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn nothing_is_left_of_a_job_whose_startd_is_killed() {
    const JOB: Job = resists("startd");
    let (_one, pool) = alone();
    for way in pool.ours() {
        let submitted = started(pool, way, &JOB);
        pool.central(&["condor_qedit", &submitted.id(), "Requirements", "False"]);
        kill(pool, way, "^condor_startd");
        pool.wait_until_nothing_is_left(way);
        pool.central(&["condor_rm", &submitted.id()]);
    }
}
