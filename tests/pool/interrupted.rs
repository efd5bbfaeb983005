//! Jobs that are removed, held, suspended and vacated, with processes that resist.

use crate::fixture::{
    CONTINUED, EVICTED, EXECUTING, End, HELD, Job, LIMIT, Pool, Process, REMOVED, SUSPENDED,
    Submitted, Way, pool, until,
};

/// Ignores SIGTERM, and has two children that do, one of them in a session of its own. The word of
/// the first argument is in their command lines; with `end`, the job ends.
const RESISTS: &str = r#"
[ "$1" != end ] || exit 7
trap '' TERM
child='trap "" TERM; exec -a "child.$0" sleep 100000'
setsid bash -c "$child" "$1" &
bash -c "$child" "$1" &
while :; do sleep 1; done
"#;

const fn resists(name: &'static str) -> Job {
    Job::new(name, RESISTS).with("arguments = {word}")
}

/// The children of such a job.
fn children(pool: &Pool, way: &Way, job: &Job) -> Vec<Process> {
    pool.processes(&format!("child.{}", job.word(way)))
}

/// Waits until the job has this many children, which also meet the condition.
fn wait_for_children(
    pool: &Pool,
    way: &Way,
    job: &Job,
    count: usize,
    is_met: impl Fn(&Process) -> bool,
) {
    let found = until(LIMIT, || {
        let found = children(pool, way, job);
        (found.len() == count && found.iter().all(&is_met)).then_some(())
    });
    let now = children(pool, way, job);
    assert!(found.is_some(), "{}, {}, not {count}: {now:?}", job.name, way.name);
}

/// Runs the job on one node after the other, so that a test occupies one slot at a time: with two,
/// tests that run beside each other could wait for each other's. Each time, waits until the job has
/// this many children, then does the rest.
fn on_each_node(job: &Job, count: usize, rest: impl Fn(&'static Way, &Submitted)) {
    let pool = pool();
    for way in &pool.ways {
        let submitted = job.submit(pool, way);
        wait_for_children(pool, way, job, count, |_| true);
        rest(way, &submitted);
        wait_for_children(pool, way, job, 0, |_| true);
    }
}

fn remove(submitted: &Submitted) {
    pool().central(&["condor_rm", &submitted.id()]);
    submitted.wait(REMOVED, 1);
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_removed_job_has_no_process_left() {
    const JOB: Job = resists("removed");
    on_each_node(&JOB, 2, |_, submitted| remove(submitted));
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_held_job_has_no_process_left_and_runs_again_when_it_is_released() {
    const JOB: Job = resists("held");
    on_each_node(&JOB, 2, |way, submitted| {
        let id = submitted.id();
        pool().central(&["condor_hold", &id]);
        submitted.wait(HELD, 1);
        wait_for_children(pool(), way, &JOB, 0, |_| true);
        pool().central(&["condor_qedit", &id, "Arguments", "\"end\""]);
        pool().central(&["condor_release", &id]);
        assert_eq!(submitted.end(), End::Exited(7), "{}", way.name);
    });
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_suspended_job_stands_still_with_all_its_processes_until_it_is_continued() {
    const JOB: Job = resists("suspended");
    on_each_node(&JOB, 2, |way, submitted| {
        let id = submitted.id();
        pool().central(&["condor_suspend", &id]);
        submitted.wait(SUSPENDED, 1);
        wait_for_children(pool(), way, &JOB, 2, |process| process.state == 'T');
        pool().central(&["condor_continue", &id]);
        submitted.wait(CONTINUED, 1);
        wait_for_children(pool(), way, &JOB, 2, |process| process.state != 'T');
        remove(submitted);
    });
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_job_that_is_vacated_at_once_has_no_process_left_and_runs_again() {
    const JOB: Job = resists("vacated-fast");
    on_each_node(&JOB, 2, |way, submitted| {
        let before = children(pool(), way, &JOB);
        pool().central(&["condor_vacate_job", "-fast", &submitted.id()]);
        submitted.wait(EVICTED, 1);
        submitted.wait(EXECUTING, 2);
        wait_for_children(pool(), way, &JOB, 2, |process| !before.contains(process));
        remove(submitted);
    });
}

/// Saves its state when it is asked to end, and ends with the state that it finds.
const SAVES: &str = r#"
[ ! -s state ] || exit "$(cat state)"
trap 'echo 5 >state; exit 1' TERM
bash -c 'exec -a "child.$0" sleep 100000' "$1" &
while :; do sleep 0.1; done
"#;

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn what_a_vacated_job_saves_is_there_when_it_runs_again() {
    const JOB: Job = Job::new("vacated", SAVES)
        .with("arguments = {word}\nwhen_to_transfer_output = ON_EXIT_OR_EVICT");
    let pool = pool();
    on_each_node(&JOB, 1, |way, submitted| {
        pool.central(&["condor_vacate_job", &submitted.id()]);
        submitted.wait(EVICTED, 1);
        assert_eq!(submitted.end(), End::Exited(5), "{}", way.name);
    });
}

/// Prints a line, and another one once its child has been ended.
const PRINTS: &str = r#"
echo first
bash -c 'exec -a "child.$0" sleep 100000' "$1"
echo second
"#;

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn streamed_output_is_there_while_the_job_runs() {
    const JOB: Job = Job::new("streamed", PRINTS)
        .with("arguments = {word}\nstream_output = True\nstream_error = True");
    let pool = pool();
    on_each_node(&JOB, 1, |way, submitted| {
        let first = until(LIMIT, || (submitted.out() == "first\n").then_some(()));
        assert!(first.is_some(), "{}: {:?}", way.name, submitted.out());
        let child = nix::unistd::Pid::from_raw(children(pool, way, &JOB)[0].pid);
        nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert_eq!(submitted.end(), End::Exited(0), "{}", way.name);
        assert_eq!(submitted.out(), "first\nsecond\n", "{}", way.name);
    });
}

/// A job whose submitter has chosen the signals notes which one came.
const NOTES: &str = r#"
for signal in USR1 USR2 INT TERM; do trap "echo $signal; exit 0" $signal; done
bash -c 'exec -a "child.$0" sleep 100000' "$1" &
while :; do sleep 0.1; done
"#;

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_job_gets_the_signal_that_its_submitter_has_chosen() {
    const JOB: Job = Job::new("kill-signal", NOTES)
        .with("arguments = {word}\nkill_sig = SIGUSR1\nstream_output = True");
    let pool = pool();
    on_each_node(&JOB, 1, |way, submitted| {
        pool.central(&["condor_vacate_job", &submitted.id()]);
        submitted.wait(EVICTED, 1);
        let told = until(LIMIT, || submitted.out().starts_with("USR1\n").then_some(()));
        assert!(told.is_some(), "{}: {:?}", way.name, submitted.out());
        remove(submitted);
    });
}
