//! Processes whose first thread has ended while another one runs (a zombie leader). For the kernel
//! they are alive, although /proc shows them as zombies without an environment.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use support::families::{
    Family, family_program, hunt, is_alive, living_threads, pid_here, report, state,
};
use support::handover::{handed_over, kill};
use support::pilot::{Pilot, family, signal};
use support::{Account, Site, is_rootless, messages, succeeded, wait_until};

/// Fails unless the first thread has ended, and the process has not.
fn is_zombie_leader(pid: u32) {
    assert_eq!((state(pid), living_threads(pid).len()), (Some('Z'), 1));
}

// kill.

#[test]
fn kill_ends_it_as_a_member_of_a_family_and_of_an_account() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    // A separate account: no processes of other tests must be ended.
    let lead = |call: &mut std::process::Command| {
        if !is_rootless() {
            site.map_to_another_user(call);
        }
    };
    let mut setup = site.call("condor_glexec_setup", &site.switcher(), &sandbox);
    lead(&mut setup);
    succeeded(&setup.output().unwrap());
    let variations: [(&[&str], &str); 5] = [
        (&["--family"], "zombie-leader"),
        (&["--sandbox"], "zombie-leader"),
        (&["--sandbox"], "zombie-leader,orphan"),
        (&["--sandbox", "--grace", "20"], "zombie-leader,exits-on-term"),
        (&["--account"], "zombie-leader"),
    ];
    // Below the project's own switcher no process outlives the first process.
    for (options, kind) in
        variations.into_iter().filter(|(_, kind)| !is_rootless() || *kind != "zombie-leader,orphan")
    {
        let mut family = Family::of(&sandbox, kind, 1);
        is_zombie_leader(family.pids[0]);
        let root = family.child.id().to_string();
        let mut call = hunt(
            &site,
            options,
            &sandbox,
            if options == ["--family"] { &root } else { "-" },
            "KILL",
        );
        lead(&mut call);
        let report = report(&call.output().unwrap());
        assert_eq!(family.alive(), [0; 0], "{options:?} {kind}: {report}");
        assert!(
            report.starts_with("killed ") && !report.starts_with("killed 0 "),
            "{options:?} {kind}: {report}"
        );
        assert!(report.contains("; 0 left"), "{options:?} {kind}: {report}");
        if kind == "zombie-leader,exits-on-term" {
            assert_eq!(family.read_line(), "asked");
        }
    }
}

#[test]
fn other_signals_reach_it_as_a_member_of_a_family_and_by_a_plain_call() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    for option in ["--family", "--sandbox", ""] {
        let mut family = Family::of(&sandbox, "zombie-leader,exits-on-term", 1);
        let pid = family.pids[0];
        is_zombie_leader(pid);
        let root = family.child.id().to_string();
        let send = |signal: &str| match option {
            "" => {
                succeeded(&kill(&site, &site.switcher(), &sandbox, pid, signal).output().unwrap())
            }
            option => {
                let whom = if option == "--family" { root.as_str() } else { "-" };
                report(&hunt(&site, &[option], &sandbox, whom, signal).output().unwrap());
            }
        };
        send("STOP");
        wait_until("it is stopped", || living_threads(pid) == ['T']);
        send("CONT");
        wait_until("it goes on", || living_threads(pid) == ['S']);
        send("TERM");
        assert_eq!(family.read_line(), "asked", "{option}");
        wait_until("it has ended", || !is_alive(pid));
    }
}

// The pilot's payload.

/// A payload, and the line with its pid, which it writes after its first thread has ended.
fn payload(
    pilot: &Pilot,
    options: &[&str],
    kind: &str,
) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let mut call = pilot.run_named("s");
    call.args(options).arg("--").arg(family_program()).args(kind.split(','));
    let mut child =
        call.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    (child, lines, line)
}

#[test]
fn a_payload_that_is_one_ends_when_its_time_is_over() {
    let pilot = Pilot::new();
    // On a busy machine the payload may not have begun when the first of these times is over.
    let has_begun = ["1", "10", "60"].into_iter().any(|time| {
        let options = ["--timeout", time, "--grace", "20"];
        let (child, mut lines, line) = payload(&pilot, &options, "zombie-leader,exits-on-term");
        let ended = child.wait_with_output().unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert!(family(&pilot.sandbox("s")).is_empty());
        pilot.is_empty("after it");
        if !line.is_empty() {
            assert_eq!(
                (ended.status.code(), rest.as_str(), messages(&ended).as_str()),
                (Some(0), "asked\n", "")
            );
        }
        !line.is_empty()
    });
    assert!(has_begun);
}

#[test]
fn signals_to_the_pilot_reach_a_payload_that_is_one() {
    for (number, status) in [(Signal::SIGTERM, 143), (Signal::SIGUSR1, 138)] {
        let pilot = Pilot::new();
        let (child, _lines, line) = payload(&pilot, &["--grace", "20"], "zombie-leader");
        let pid = pid_here(line.trim().parse().unwrap(), Account::of(&pilot.sandbox("s")));
        is_zombie_leader(pid);
        signal(&child, Signal::SIGTSTP);
        wait_until("the payload is stopped", || living_threads(pid) == ['T']);
        wait_until("the pilot is stopped", || state(child.id()) == Some('T'));
        signal(&child, Signal::SIGCONT);
        wait_until("the payload goes on", || living_threads(pid) == ['S']);
        signal(&child, number);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(
            (ended.status.code(), messages(&ended).as_str()),
            (Some(status), ""),
            "{number}"
        );
        assert!(!is_alive(pid));
        pilot.is_empty("after it");
    }
}

#[test]
fn one_that_a_payload_has_left_running_does_not_outlive_run() {
    let pilot = Pilot::new();
    let script = format!(
        "{} zombie-leader orphan | head -n 1; touch begun; until [ -e go ]; do sleep 0.02; done",
        family_program().display()
    );
    let mut call = pilot.run_named("s");
    let child = call
        .args(["--", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sandbox = pilot.sandbox("s");
    wait_until("it has been left", || sandbox.join("begun").exists());
    let left = zombie_leader_of(&sandbox);
    is_zombie_leader(left);
    std::fs::write(sandbox.join("go"), "").unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    assert!(!is_alive(left));
    pilot.is_empty("after it");
}

/// The one process of a sandbox's family whose first thread has ended.
fn zombie_leader_of(sandbox: &Path) -> u32 {
    let all: Vec<u32> = family(sandbox)
        .into_iter()
        // Other processes are zombies, too, between their end and the moment when they are reaped.
        .filter(|pid| state(*pid) == Some('Z') && is_alive(*pid))
        .collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0]
}
