//! The agent that has handed a pilot's sandbox over: it stays, watches while the payload runs, and
//! brings the files back.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::process::Stdio;

use nix::sys::signal::Signal;
use support::families::agents;
use support::handover::text;
use support::mounts::in_memory;
use support::pilot::{Pilot, family, signal};
use support::{is_rootless, messages, succeeded, wait_until, write};

/// The operations of the calls that a run makes: behind a switcher that ends with the project's
/// `glexec`, the payload's call must be the first one of its namespace, so no agent stays.
fn expected() -> &'static str {
    if is_rootless() { "serve\nenter\nwatch\nserve\n" } else { "serve\nenter\n" }
}

/// Runs a payload through a switcher that logs its calls. Returns the operations.
fn operations(pilot: &Pilot) -> String {
    let calls = pilot.site.scratch().join("calls");
    let switcher = pilot.switcher_that(&format!("echo $2 >>{}", calls.display()));
    let input = pilot.input(|top| {
        for number in 0..200 {
            write(top.join(format!("file{number}")), "content", 0o644);
        }
    });
    let mut call = pilot.run_through_any();
    call.arg("--glexec").arg(&switcher).arg("--execute").arg(pilot.site.execute());
    call.arg("--input").arg(input).arg("--output").arg(pilot.output());
    let output = call.args(["--", "sh", "-c", "(setsid sleep 60 &); echo made >made"]).output();
    succeeded(&output.unwrap());
    assert_eq!(text(pilot.output().join("made")), "made\n");
    assert_eq!(fs::read_dir(pilot.output()).unwrap().count(), 201);
    pilot.is_empty("after it");
    text(&calls)
}

#[test]
fn a_run_calls_the_switcher_twice() {
    assert_eq!(operations(&Pilot::new()), expected());
}

#[test]
fn a_run_with_its_output_on_another_file_system_calls_the_switcher_twice() {
    let pilot = Pilot::new();
    let _mounts = in_memory(&pilot.site, "");
    assert_eq!(operations(&pilot), expected());
}

#[test]
fn a_payload_that_ends_before_its_rest_has_it_ended_by_the_agent_that_stays() {
    let pilot = Pilot::new();
    let script = "(setsid sleep 60 &); touch ready; until [ -e end ]; do sleep 0.05; done";
    let mut child = pilot.start("s", &[], script);
    let sandbox = pilot.sandbox("s");
    wait_until("it is ready", || sandbox.join("ready").exists());
    let stays = !agents("serve", &sandbox).is_empty();
    assert_eq!(stays, !is_rootless());
    write(sandbox.join("end"), "", 0o644);
    assert!(child.wait().unwrap().success());
    assert!(family(&sandbox).is_empty());
    pilot.is_empty("after it");
}

/// A script that does this with the agent of its sandbox that watches.
fn with_agent(act: &str) -> String {
    format!("agent=\"serve $PWD$|watch [0-9]+ [0-9]+ $PWD.condor$\"; {act}")
}

#[test]
fn files_come_back_though_the_payload_has_killed_the_agent_that_brings_them() {
    let pilot = Pilot::new();
    let script = with_agent(
        "(setsid sleep 65 &); pkill -KILL -f \"$agent\" 2>/dev/null; \
         while pgrep -u $(id -u) -f \"$agent\"; do sleep 0.05; done; \
         echo made >made; touch ready; exec sleep 66",
    );
    let output = pilot.output().display().to_string();
    let child = pilot.start("s", &["--output", &output], &script);
    wait_until("it is ready", || pilot.sandbox("s").join("ready").exists());
    signal(&child, Signal::SIGTERM);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), messages(&ended).as_str()), (Some(143), ""));
    assert!(family(&pilot.sandbox("s")).is_empty());
    assert_eq!(text(pilot.output().join("made")), "made\n");
    pilot.is_empty("after it");
}

#[test]
fn files_come_back_though_the_payload_has_killed_the_agent_and_itself() {
    let pilot = Pilot::new();
    let script =
        with_agent("echo made >made; pkill -KILL -f \"$agent\" 2>/dev/null; kill -KILL $$");
    let mut call = pilot.run();
    call.arg("--output").arg(pilot.output()).args(["--", "sh", "-c", &script]);
    let ended = call.output().unwrap();
    assert_eq!((ended.status.code(), messages(&ended).as_str()), (Some(137), ""));
    assert_eq!(text(pilot.output().join("made")), "made\n");
    pilot.is_empty("after it");
}

#[test]
fn files_come_back_though_the_payload_has_stopped_the_agent_that_brings_them() {
    let pilot = Pilot::new();
    let script = with_agent("echo made >made; pkill -STOP -f \"$agent\" 2>/dev/null; exit 0");
    let mut call = pilot.run_named("s");
    call.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "5");
    call.arg("--output").arg(pilot.output()).args(["--", "sh", "-c", &script]);
    let ended = call.output().unwrap();
    let sandbox = pilot.sandbox("s");
    for pid in agents("serve", &sandbox) {
        let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
        nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    }
    assert_eq!((ended.status.code(), messages(&ended).as_str()), (Some(0), ""));
    assert_eq!(text(pilot.output().join("made")), "made\n");
    pilot.is_empty("after it");
}

#[test]
fn the_agent_that_stays_ends_the_family_and_itself_when_the_pilot_is_killed() {
    let pilot = Pilot::new();
    let mut child = pilot.start("s", &[], "(setsid sleep 60 &); touch ready; exec sleep 61");
    let sandbox = pilot.sandbox("s");
    wait_until("it is ready", || sandbox.join("ready").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the family has ended", || family(&sandbox).is_empty());
    wait_until("the agent has ended", || agents("serve", &sandbox).is_empty());
    succeeded(&pilot.of("recover", &["--discard"], "s").stdin(Stdio::null()).output().unwrap());
    pilot.is_empty("after it");
}

#[test]
fn an_agent_that_stays_for_longer_than_the_idle_timeout_is_not_given_up() {
    let pilot = Pilot::new();
    let calls = pilot.site.scratch().join("calls");
    let switcher = pilot.switcher_that(&format!("echo $2 >>{}", calls.display()));
    let mut call = pilot.run_through_any();
    call.arg("--glexec").arg(&switcher).arg("--execute").arg(pilot.site.execute());
    call.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "3");
    succeeded(&call.args(["--", "sleep", "5"]).output().unwrap());
    assert_eq!(text(&calls), expected());
}
