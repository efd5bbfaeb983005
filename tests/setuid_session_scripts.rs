//! Session scripts of the administrator's, around the payloads of `glexec` set-user-ID root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use nix::sys::signal::Signal;
use support::families::is_alive;
use support::glexec::begun;
use support::handover::{set_mode, text};
use support::setuid::{LIBEXEC, Setuid, ends};
use support::{Account, executable, failed, messages, succeeded};

const DIRECTORY: &str = "/etc/glexec/session.d";

/// A site with empty directories of scripts, and these lines of configuration. Scripts write to
/// `/mnt/libexec/log`.
fn site(lines: &str) -> Setuid {
    let setuid = Setuid::with(lines);
    for event in ["added", "changed", "removed"] {
        fs::create_dir_all(setuid.path(&format!("{DIRECTORY}/{event}"))).unwrap();
    }
    setuid
}

fn put(setuid: &Setuid, name: &str, lines: &str) {
    let text = format!("#!/bin/sh\nlog=/mnt/libexec/log\n{lines}\n");
    executable(&setuid.path(&format!("{DIRECTORY}/{name}")), text.as_bytes());
}

fn log(setuid: &Setuid) -> Vec<String> {
    let text = fs::read_to_string(setuid.path("/mnt/libexec/log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn is_registered(setuid: &Setuid) -> bool {
    let listing = fs::read_dir(setuid.path("/run/glexec/sessions"));
    listing.is_ok_and(|mut entries| entries.next().is_some())
}

const FACTS: &str = "echo $1 $(id -u):$(id -G) $GLEXEC_SESSION_USER $GLEXEC_SESSION_CALLER \
    $GLEXEC_SESSION_HOME $GLEXEC_SESSION_RESULT $GLEXEC_SESSION_STATUS >>$log";

#[test]
fn scripts_run_as_root_and_change_the_payloads_environment() {
    let setuid = site("");
    put(&setuid, "added/10W-a", &format!("{FACTS}; echo export SCRATCH=/a; echo print hello"));
    put(&setuid, "removed/10W-a", FACTS);
    let output = setuid.runs("echo $SCRATCH; exit 3");
    assert_eq!((output.status.code(), messages(&output).as_str()), (Some(3), ""));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n/a\n");
    let home = nix::unistd::User::from_name("gh-job").unwrap().unwrap().dir;
    let facts = format!("0:0 gh-job gh-batch {}", home.display());
    let expected = [format!("session_added {facts}"), format!("session_removed {facts} exited 3")];
    assert_eq!(log(&setuid), expected);
    assert!(!is_registered(&setuid));
}

#[test]
fn scripts_run_as_the_configured_user() {
    let setuid = site("session_script_user = gh-other\n");
    put(&setuid, "added/10W-a", "echo print $(id -u):$(id -g)");
    let other = Account::other();
    assert_eq!(setuid.says(":"), format!("{}:{}", other.uid, other.gid));
}

#[test]
fn a_failure_refuses_the_payload_or_is_logged() {
    let setuid = site("");
    put(&setuid, "added/10W-a", "exit 1");
    put(&setuid, "removed/10W-a", "echo $GLEXEC_SESSION_RESULT >>$log");
    failed(&setuid.runs("echo ran"), 202, &["10W-a", "exited 1"]);
    assert_eq!(log(&setuid), ["refused"]);
    let setuid = site("session_script_failure = log\nsession_script_timeout = 1\n");
    put(&setuid, "added/10W-a", "sleep 1000");
    assert_eq!(setuid.says("echo ran"), "ran");
    let logged = setuid.logged();
    assert!(logged.iter().any(|line| line.contains("10W-a: it was ended after 1 s")), "{logged:?}");
}

#[test]
fn what_runs_in_the_background_ends_with_the_payload() {
    let setuid = site("");
    let wait = "echo $$ >>/mnt/libexec/pids; exec sleep 1000";
    put(&setuid, "added/10D-a", wait);
    put(&setuid, "added/20-b", wait);
    setuid
        .says("until [ \"$(grep -c . /mnt/libexec/pids 2>/dev/null)\" = 2 ]; do sleep 0.01; done");
    for pid in text(setuid.path("/mnt/libexec/pids")).lines() {
        assert!(!is_alive(pid.parse().unwrap()));
    }
    assert!(!is_registered(&setuid));
}

#[test]
fn a_script_that_others_can_change_is_passed_over_and_logged() {
    let setuid = site("");
    put(&setuid, "added/10W-a", "echo print ran");
    set_mode(setuid.path(&format!("{DIRECTORY}/added/10W-a")), 0o757);
    assert_eq!(setuid.says(":"), "");
    let logged = setuid.logged();
    assert!(logged.iter().any(|line| line.contains("passed over")), "{logged:?}");
}

#[test]
fn nothing_runs_around_the_agents_operations() {
    let setuid = site("");
    put(&setuid, "added/10W-a", "echo ran >>$log");
    let mut call = setuid.glexec();
    call.arg(format!("{LIBEXEC}/condor_glexec_agent")).args(["signal", "1", "999999", "0"]);
    call.output().unwrap();
    assert!(log(&setuid).is_empty());
    succeeded(&setuid.runs(":"));
    assert_eq!(log(&setuid), ["ran"]);
}

#[test]
fn the_callers_own_directories_are_not_used() {
    let setuid = site("session_scripts =\n");
    put(&setuid, "added/10W-a", "echo print ran");
    let mut call = setuid.glexec();
    call.env("GLEXEC_SESSION_SCRIPTS", DIRECTORY).args(["/bin/sh", "-c", "env"]);
    let output = call.output().unwrap();
    succeeded(&output);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("ran") && !text.contains("GLEXEC_SESSION"), "{text}");
}

#[test]
fn a_session_is_registered_for_all_to_read_and_swept_after_a_kill() {
    let setuid = site("");
    put(&setuid, "added/10W-a", "echo begun >>$log");
    put(&setuid, "removed/10W-a", "echo $GLEXEC_SESSION_RESULT >>$log");
    let mut call = setuid.glexec();
    let mut child = begun(call.arg("/bin/cat"));
    assert_eq!(log(&setuid), ["begun"]);
    let read = "cd /run/glexec/users/gh-job/* && cat user caller command; cat credential";
    let output = setuid.command(Account::other(), "/bin/sh").args(["-c", read]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "gh-jobgh-batch/bin/cat");
    assert!(messages(&output).contains("credential: Permission denied"), "{}", messages(&output));
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    ends(&mut child);
    assert_eq!(setuid.says(":"), "");
    assert_eq!(log(&setuid), ["begun", "again", "begun", "exited"]);
    assert!(!is_registered(&setuid));
}

/// The scripts of `scripts/session.d`, with file systems of the test's where they write.
fn site_with_samples() -> Setuid {
    let setuid = site("");
    let root = Account { uid: 0, gid: 0 };
    for place in ["/srv", "/var/log", "/var/lib"] {
        let mount = setuid
            .command(root, "mount")
            .args(["-t", "tmpfs", "-o", "mode=755", "tmpfs", place])
            .output();
        succeeded(&mount.unwrap());
    }
    fs::create_dir(setuid.path("/srv/workspace")).unwrap();
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/session.d");
    for event in ["added", "removed"] {
        for entry in fs::read_dir(format!("{samples}/{event}")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let place = setuid.path(&format!("{DIRECTORY}/{event}/{name}"));
            executable(&place, &fs::read(entry.path()).unwrap());
        }
    }
    setuid
}

#[test]
fn the_worked_scripts_give_scratch_and_workspace_and_write_an_accounting_line() {
    let setuid = site_with_samples();
    // The reaper is for accounts from 1000 on; this one's is lower.
    fs::remove_file(setuid.path(&format!("{DIRECTORY}/removed/20W-reaper"))).unwrap();
    let script = "[ $(stat -c %u:%a $TMPDIR) = $(id -u):700 ] && : >$TMPDIR/x && : >$WORKSPACE/y
                  echo $TMPDIR; exit 3";
    let output = setuid.runs(script);
    assert_eq!((output.status.code(), messages(&output).as_str()), (Some(3), ""));
    let scratch = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(scratch.starts_with("/var/lib/glexec-scratch/"), "{scratch}");
    assert!(setuid.path("/srv/workspace/y").exists());
    assert!(!setuid.path(&scratch).exists());
    let line = text(setuid.path("/var/log/glexec-sessions.log"));
    assert!(line.contains(" gh-batch gh-job exited 3 /bin/sh -c "), "{line}");
    let list = setuid.command(Account { uid: 0, gid: 0 }, "getfacl").arg("/srv/workspace").output();
    let list = String::from_utf8(list.unwrap().stdout).unwrap();
    assert!(!list.contains("user:gh-job"), "{list}");
    let logged = setuid.logged();
    assert!(!logged.iter().any(|line| line.contains("session script")), "{logged:?}");
}

#[test]
fn the_worked_reaper_refuses_accounts_of_the_system() {
    let setuid = site_with_samples();
    assert_eq!(setuid.says("exec >/dev/null; setsid sleep 0 & :"), "");
    let logged = setuid.logged();
    let is_told = |line: &String| line.contains("20W-reaper: it exited 1");
    assert_eq!(logged.iter().any(is_told), Account::job().uid < 1000, "{logged:?}");
}

#[test]
fn no_other_user_can_hold_up_a_session_by_a_lock() {
    let setuid = site("");
    put(&setuid, "removed/10W-a", ":");
    assert_eq!(setuid.says(":"), "");
    let lock = "for path in /run/glexec /run/glexec/sessions /run/glexec/lock; do
        (flock -n 9 && sleep 1000) 9<$path & done; echo; wait";
    let mut locker = setuid.command(Account::other(), "/bin/sh");
    let mut locker =
        locker.args(["-c", lock]).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    std::io::Read::read_exact(locker.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let output = setuid.runs("echo ran");
    assert_eq!(messages(&output), "");
    succeeded(&output);
    let group = nix::unistd::Pid::from_raw(-locker.id().cast_signed());
    nix::sys::signal::kill(group, Signal::SIGKILL).unwrap();
    ends(&mut locker);
}

#[test]
fn without_linger_a_payload_with_scripts_is_refused() {
    let setuid = site("");
    setuid.configure(&format!("{}linger = no\n", support::setuid::CONFIGURATION));
    assert_eq!(setuid.says("echo ran"), "ran");
    put(&setuid, "added/10W-a", ":");
    failed(&setuid.runs("echo ran"), 202, &["session scripts need linger = yes"]);
}
