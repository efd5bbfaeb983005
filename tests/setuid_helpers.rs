//! The helpers through a `glexec` that is set-user-ID root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use support::families::{is_alive, state};
use support::setuid::{LIBEXEC, Setuid, ends};
use support::{Account, PROXY, failed, messages, retained, succeeded, wait_until};

fn helper(setuid: &Setuid, name: &str) -> Command {
    let mut command = setuid.command(Account::batch(), Path::new(LIBEXEC).join(name));
    command.arg(Path::new(LIBEXEC).join("glexec"));
    command
}

/// A sandbox that the job user has.
fn set_up(setuid: &Setuid) -> PathBuf {
    let sandbox = setuid.site.sandbox("sandbox");
    let mut setup = helper(setuid, "condor_glexec_setup");
    succeeded(&setup.arg(PROXY).arg(&sandbox).args(["0", "0"]).output().unwrap());
    assert_eq!(Account::of(&sandbox), Account::job());
    sandbox
}

/// The switcher as condor_glexec_run becomes it, with a wrapper that is a shell script.
fn job(setuid: &Setuid, sandbox: &Path, script: &str) -> Child {
    let mut call = setuid.glexec();
    call.env("GLEXEC_CLIENT_CERT", retained(sandbox).join(PROXY));
    call.arg(Path::new(LIBEXEC).join("condor_glexec_agent")).arg("enter").arg(sandbox);
    call.args(["mark", "/bin/sh", "-c", script]).spawn().unwrap()
}

fn kill(setuid: &Setuid, sandbox: &Path, options: &[&str], pid: u32, signal: &str) -> Command {
    let mut command =
        setuid.command(Account::batch(), Path::new(LIBEXEC).join("condor_glexec_kill"));
    command.args(options).arg(Path::new(LIBEXEC).join("glexec"));
    command.arg(retained(sandbox).join(PROXY)).args([&pid.to_string(), signal, "0", "0"]);
    command
}

#[test]
fn a_sandbox_is_handed_over_and_comes_back() {
    let setuid = Setuid::new();
    let sandbox = set_up(&setuid);
    let mut cleanup = helper(&setuid, "condor_glexec_cleanup");
    succeeded(&cleanup.arg(PROXY).arg(&sandbox).args(["0", "0"]).output().unwrap());
    assert_eq!(Account::of(&sandbox), Account::batch());
}

#[test]
fn a_signal_to_the_pid_of_run_reaches_the_job_below_a_glexec_of_roots() {
    let setuid = Setuid::new();
    let sandbox = set_up(&setuid);
    let begun = sandbox.join("begun");
    let script = "trap 'exit 3' USR1; echo $$ >begun; while :; do sleep 0.01; done";
    let mut child = job(&setuid, &sandbox, script);
    wait_until("the job begins", || {
        std::fs::read_to_string(&begun).is_ok_and(|text| text.ends_with('\n'))
    });
    let job: u32 = std::fs::read_to_string(&begun).unwrap().trim_end().parse().unwrap();
    assert_ne!(job, child.id());
    let pid = child.id();
    succeeded(&kill(&setuid, &sandbox, &[], pid, "STOP").output().unwrap());
    wait_until("the job stops", || state(job) == Some('T'));
    assert_ne!(state(pid), Some('T'));
    succeeded(&kill(&setuid, &sandbox, &[], pid, "CONT").output().unwrap());
    succeeded(&kill(&setuid, &sandbox, &[], pid, "USR1").output().unwrap());
    assert_eq!(ends(&mut child).code(), Some(3));
}

#[test]
fn the_family_below_a_glexec_of_roots_is_stopped_and_killed() {
    let setuid = Setuid::new();
    let sandbox = set_up(&setuid);
    let begun = sandbox.join("begun");
    let script = "setsid sleep 60 & echo $! >begun; wait";
    let mut child = job(&setuid, &sandbox, script);
    wait_until("the job begins", || {
        std::fs::read_to_string(&begun).is_ok_and(|text| text.ends_with('\n'))
    });
    let member: u32 = std::fs::read_to_string(&begun).unwrap().trim_end().parse().unwrap();
    let pid = child.id();
    let call = |signal: &str| {
        let output = kill(&setuid, &sandbox, &["--family"], pid, signal).output().unwrap();
        assert_eq!((output.status.code(), messages(&output)), (Some(0), String::new()));
    };
    call("STOP");
    wait_until("the member stops", || state(member) == Some('T'));
    call("KILL");
    assert_eq!(ends(&mut child).code(), Some(137));
    assert!(!is_alive(member));
}

#[test]
fn a_glexec_of_roots_that_runs_something_else_is_no_job() {
    let setuid = Setuid::new();
    let sandbox = set_up(&setuid);
    let mut child = setuid.glexec().args(["/bin/sleep", "60"]).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    // Before it is glexec, it is a program of the test's, which is root's, too.
    wait_until("it is root's glexec", || {
        let status = std::fs::read_to_string(&status).unwrap();
        status.starts_with("Name:\tglexec\n") && status.contains("Uid:\t0\t0\t0\t0")
    });
    let output = kill(&setuid, &sandbox, &[], child.id(), "TERM").output().unwrap();
    failed(&output, 2, &["it is uid 0's, not the job user's"]);
    assert!(child.try_wait().unwrap().is_none());
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    ends(&mut child);
}
