//! The switcher is killed, hangs, fails half-way, or ends before its command: the connection
//! between helper and agent decides what happens to the sandbox, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::handover::{CLEANUP, SETUP, text};
use support::held::{Held, POINTS, Point, Points, Switching};
use support::trial::{Side, Trial};
use support::{
    Account, as_job, failed, is_rootless, messages, owner, retained, stays_above, succeeded,
};

/// The exit status of a helper that fails.
fn failure(helper: &str) -> i32 {
    if helper == SETUP { 2 } else { 1 }
}

/// Kills the switcher at each of the points.
fn killed_at_each_point(helper: &'static str, switching: Switching) {
    let trial = Trial::new();
    let points = Points::of(&trial, helper);
    for point in POINTS {
        let what = format!("{helper}, {switching:?}, killed at {point:?}");
        trial.before(helper);
        let mut held = Held::at(&trial, &points, point, switching, "30");
        if point == Point::Copying && helper == SETUP {
            let begun = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("s.gh.");
            assert!(trial.site.entries().iter().any(begun), "{what}: half a copy is there");
        }
        trial.one_copy(&format!("{what}, while all are held"));
        held.kill_switcher();
        if stays_above() && switching == Switching::Becomes && point != Point::Called {
            // Here the switcher and the agent are two processes, and the agent ends with the
            // switcher.
            held.gone();
        }
        held.release();
        let output = held.end();
        trial.one_copy(&what);
        let lives = switching == Switching::Stays && point != Point::Called;
        if !lives && (point, helper) == (Point::Done, CLEANUP) {
            // The files were back before that.
            assert_eq!(output.status.code(), Some(0), "{what}");
            assert!(
                messages(&output).contains("the files are back"),
                "{what}: {}",
                messages(&output)
            );
            trial.back(&what);
            trial.brought_back(&what);
            continue;
        }
        if lives || point == Point::Closing {
            assert_eq!((output.status.code(), messages(&output).as_str()), (Some(0), ""), "{what}");
        } else {
            let (switcher, sandbox) =
                (trial.site.path().join("switching"), trial.sandbox.display().to_string());
            let words: &[&str] = match (point, helper) {
                (Point::Complete | Point::Done, SETUP) => {
                    &["the agent (run by the switcher)", "closed the connection"]
                }
                (Point::Complete | Point::Done, _) => &["closed the connection", &sandbox],
                _ => &[&switcher.display().to_string(), "status 137"],
            };
            failed(&output, failure(helper), words);
            if helper == SETUP {
                trial.back(&what);
            }
        }
        trial.brought_back(&what);
    }
}

#[test]
fn a_setup_whose_switcher_is_killed_and_with_it_the_agent_puts_everything_back() {
    killed_at_each_point(SETUP, Switching::Becomes);
}

#[test]
fn a_cleanup_whose_switcher_is_killed_and_with_it_the_agent_is_completed_by_the_next() {
    killed_at_each_point(CLEANUP, Switching::Becomes);
}

#[test]
fn a_setup_succeeds_though_the_switcher_above_its_agent_is_killed() {
    killed_at_each_point(SETUP, Switching::Stays);
}

#[test]
fn a_cleanup_succeeds_though_the_switcher_above_its_agent_is_killed() {
    killed_at_each_point(CLEANUP, Switching::Stays);
}

#[test]
#[ignore = "long: scripts/test --long"]
fn twenty_times_a_switcher_is_killed_and_nothing_is_lost() {
    for _ in 0..20 {
        for helper in [SETUP, CLEANUP] {
            killed_at_each_point(helper, Switching::Becomes);
            killed_at_each_point(helper, Switching::Stays);
        }
    }
}

// A switcher, or an agent, that hangs. One that hangs before its agent's first message is in
// tests/lost.rs.

#[test]
fn a_switcher_that_hangs_after_its_command_has_ended_changes_nothing() {
    // Each helper waits some seconds for it: both run at once, each with a separate sandbox.
    std::thread::scope(|scope| {
        for helper in [SETUP, CLEANUP] {
            let at_work = scope.spawn(move || {
                let trial = Trial::new();
                trial.before(helper);
                let hung = trial.logs.join("hung");
                let body =
                    format!("{} \"$@\"\necho $$ >{}\nexec sleep 600", as_job(), hung.display());
                let switcher = trial.site.script("hangs", &body);
                succeeded(&trial.site.call(helper, &switcher, &trial.sandbox).output().unwrap());
                let hung = Pid::from_raw(text(hung).trim().parse().unwrap());
                kill(hung, Signal::SIGKILL).expect("it still hangs when the helper has ended");
                if helper == SETUP {
                    assert_eq!(owner(&trial.sandbox), Account::job());
                    trial.clean_up();
                }
                trial.back(helper);
                trial.alone(helper);
            });
            // With glexec they would share a user, since each site has a separate table of leases.
            if is_rootless() {
                at_work.join().unwrap();
            }
        }
    });
}

/// A helper whose agent is stopped before its committing step, until the helper has given it up.
fn given_up(trial: &Trial, helper: &'static str) -> (Held, String) {
    let points = Points::of(trial, helper);
    trial.before(helper);
    let mut held = Held::at(trial, &points, Point::Complete, Switching::Becomes, "1");
    let line = failed(&held.end(), failure(helper), &[helper, "GLEXEC_HELPERS_IDLE_TIMEOUT"]);
    trial.one_copy(helper);
    (held, line)
}

#[test]
fn a_setup_puts_everything_back_when_the_agent_hangs_after_the_copy_and_it_may_continue_later() {
    let trial = Trial::new();
    let (held, line) = given_up(&trial, SETUP);
    trial.back(&line);
    // It continues, and would rename its copy to the sandbox; but that name exists.
    held.release();
    trial.alone(&line);
    trial.back(&line);
}

#[test]
fn a_cleanup_whose_agent_hangs_after_the_copy_is_completed_by_the_next_and_it_may_continue_later() {
    let trial = Trial::new();
    let (held, line) = given_up(&trial, CLEANUP);
    assert!(line.contains("run condor_glexec_cleanup again"), "{line}");
    trial.clean_up();
    trial.back(&line);
    // It continues, and would rename the sandbox; but that is no longer the job user's.
    held.release();
    held.gone();
    trial.back(&line);
    trial.alone(&line);
}

#[test]
fn an_agent_that_a_cleanup_gave_up_does_not_touch_the_next_jobs_sandbox_when_it_continues() {
    let trial = Trial::new();
    let (held, line) = given_up(&trial, CLEANUP);
    trial.clean_up();
    trial.set_up();
    // It continues, and would rename the sandbox, which is the job user's again; no process reads
    // its answer.
    held.release();
    held.gone();
    trial.one_copy(&line);
    assert_eq!(owner(&trial.sandbox), Account::job());
    trial.brought_back(&line);
}

// A switcher that fails when half of the copy is made.

/// A switcher that, on its first `calls` calls, kills its agent in the middle of the copy and exits
/// with 202. Each call adds a line to the returned file.
fn fails_with_202(trial: &Trial, helper: &'static str, calls: usize) -> (PathBuf, PathBuf) {
    let points = Points::of(trial, helper);
    let (_, call) = points.at(Point::Copying);
    let kill = format!("inject={}:signal=SIGKILL:when={}", call.name, call.number);
    let strace = trial.strace(Side::Agent, &[&format!("trace={}", call.name), &kill]).join(" ");
    let made = trial.logs.join("calls");
    let switch = as_job();
    let body = format!(
        "echo called >>{0}
        [ $(wc -l <{0}) -le {calls} ] || exec {switch} \"$@\"
        {switch} {strace} \"$@\"
        exit 202",
        made.display()
    );
    (trial.site.script("fails", &body), made)
}

const RETRYING: &str = "Glexec exited with status 202; retrying in 0 seconds.\n";

#[test]
fn a_switcher_that_fails_with_202_after_half_a_copy_is_called_again_and_the_half_copy_is_gone() {
    for helper in [SETUP, CLEANUP] {
        let trial = Trial::new();
        let (switcher, made) = fails_with_202(&trial, helper, 1);
        trial.before(helper);
        let output = trial.site.call(helper, &switcher, &trial.sandbox).output().unwrap();
        let all = messages(&output);
        let (cause, pause) = all.split_once('\n').unwrap();
        assert_eq!((output.status.code(), pause), (Some(0), RETRYING), "{helper}");
        assert!(cause.contains("status 202"), "{cause}");
        assert_eq!(text(&made).lines().count(), 2, "{helper}");
        if helper == SETUP {
            assert_eq!(
                (owner(&trial.sandbox), trial.site.entries()),
                (Account::job(), vec!["s".into(), "s.condor".into()])
            );
            trial.clean_up();
        }
        trial.back(helper);
        trial.alone(helper);
    }
}

#[test]
fn a_switcher_that_fails_with_202_after_half_a_copy_each_time_changes_nothing() {
    for (helper, status) in [(SETUP, 3), (CLEANUP, 1)] {
        let trial = Trial::new();
        let (switcher, made) = fails_with_202(&trial, helper, 3);
        trial.before(helper);
        let output = trial.site.call(helper, &switcher, &trial.sandbox).output().unwrap();
        let all = messages(&output);
        let (_cause, rest) = all.split_once('\n').unwrap();
        let line = rest
            .strip_prefix(&RETRYING.repeat(2))
            .unwrap_or_else(|| panic!("two pauses are reported: {all}"));
        assert_eq!((output.status.code(), line.lines().count()), (Some(status), 1), "{all}");
        assert!(line.contains(&switcher.display().to_string()) && line.contains("202"), "{line}");
        assert_eq!(text(&made).lines().count(), 3, "{helper}");
        trial.one_copy(helper);
        if helper == SETUP {
            trial.back(helper);
        } else {
            let (job, batch) = (owner(&trial.sandbox), owner(&retained(&trial.sandbox)));
            assert_eq!((job, batch), (Account::job(), Account::batch()));
        }
        // Only another agent could remove what the last one left, and setup calls none.
        if helper == SETUP {
            trial.set_up();
        }
        trial.brought_back(helper);
    }
}

// An agent that has ended before the helper's first request.

#[test]
fn what_an_agent_sent_before_its_end_is_read_by_a_slow_helper() {
    let trial = Trial::new();
    Account::batch().owns(trial.site.path());
    fs::set_permissions(trial.site.path(), Permissions::from_mode(0o700)).unwrap();
    let sends = "sendto,sendmsg,write";
    let slow = [&format!("trace={sends}")[..], &format!("inject={sends}:delay_enter=300ms")];
    let setup = trial.site.call(SETUP, &trial.quick, &trial.sandbox);
    let output = trial.below(&trial.strace(Side::Helper, &slow), &setup).output().unwrap();
    failed(&output, 2, &["may not search"]);
}

// A command that outlives its switcher.

#[test]
fn a_switcher_that_ends_before_its_command_changes_nothing_whatever_its_status() {
    for status in [0, 1, 201, 202] {
        let trial = Trial::new();
        let body = format!("exec 3<&0\n{} \"$@\" <&3 3<&- &\nexit {status}", as_job());
        let switcher = trial.site.script("ends", &body);
        for helper in [SETUP, CLEANUP] {
            succeeded(&trial.site.call(helper, &switcher, &trial.sandbox).output().unwrap());
        }
        trial.back(&format!("status {status}"));
        trial.alone(&format!("status {status}"));
    }
}
