//! Session scripts of a caller's, around the payloads of a `glexec` without privilege.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use support::glexec::{Rootless, begun};
use support::{Account, executable, failed, messages, own, program, succeeded, wait_until, write};

/// Directories of scripts of the batch user's, and a table of leases.
struct Scripts {
    rootless: Rootless,
    top: tempfile::TempDir,
}

impl Scripts {
    fn new() -> Scripts {
        // A directory below /tmp is not trusted.
        let top = tempfile::Builder::new().prefix("session-scripts.").tempdir_in("/var/lib");
        let scripts = Scripts { rootless: Rootless::new(), top: top.expect("this needs root") };
        fs::set_permissions(scripts.top.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Account::batch().owns(scripts.top.path());
        for name in ["session.d", "session.d/added", "session.d/changed", "session.d/removed"] {
            fs::create_dir(scripts.path(name)).unwrap();
            Account::batch().owns(scripts.path(name));
        }
        fs::create_dir(scripts.state()).unwrap();
        fs::set_permissions(scripts.state(), fs::Permissions::from_mode(0o700)).unwrap();
        Account::batch().owns(scripts.state());
        scripts
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes a script of these lines; `$top` is the directory above.
    fn put(&self, name: &str, lines: &str) {
        let path = self.path(&format!("session.d/{name}"));
        let text = format!("#!/bin/sh\ntop={}\n{lines}\n", self.top.path().display());
        executable(&path, text.as_bytes());
        Account::batch().owns(&path);
    }

    fn glexec(&self) -> Command {
        let mut command = self.rootless.glexec();
        command.env("GLEXEC_SESSION_SCRIPTS", self.path("session.d"));
        command.env("GLEXEC_STATE_DIR", self.state());
        command
    }

    fn shell(&self, script: &str) -> Output {
        self.glexec().args(["/bin/sh", "-c", script]).output().unwrap()
    }

    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn is_registered(&self) -> bool {
        let listing = fs::read_dir(self.state().join("sessions"));
        listing.is_ok_and(|mut entries| entries.next().is_some())
    }
}

#[test]
fn scripts_run_as_the_caller_outside_of_the_payloads_namespace() {
    let scripts = Scripts::new();
    let facts = "echo ${0##*/} $1 $(id -u) $GLEXEC_SESSION_UID $GLEXEC_SESSION_CALLER \
                 $GLEXEC_SESSION_RESULT $GLEXEC_SESSION_STATUS $(readlink /proc/self/ns/user) \
                 >>$top/log";
    scripts.put("added/10W-a", facts);
    scripts.put("removed/10W-a", facts);
    let output = scripts.shell("id -u; exit 3");
    let user = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!((output.status.code(), messages(&output).as_str()), (Some(3), ""));
    let namespace = fs::read_link("/proc/self/ns/user").unwrap();
    let batch = Account::batch().uid;
    let log: Vec<String> =
        scripts.log().iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    let namespace = namespace.display();
    assert_eq!(
        log,
        [
            format!("session_added {batch} {user} gh-batch {namespace}"),
            format!("session_removed {batch} {user} gh-batch exited 3 {namespace}"),
        ]
    );
    assert!(!scripts.is_registered());
}

#[test]
fn what_they_print_reaches_the_payloads_environment_and_output() {
    let scripts = Scripts::new();
    scripts.put("added/10W-a", "echo export SCRATCH=/a b; echo unset USER; echo print first");
    let output = scripts.shell("echo \"$SCRATCH|${USER-none}\"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "first\n/a b|none\n");
    succeeded(&output);
}

#[test]
fn a_script_that_fails_refuses_the_payload() {
    let scripts = Scripts::new();
    scripts.put("added/10W-a", "exit 1");
    scripts.put("removed/10W-a", "echo $GLEXEC_SESSION_RESULT $GLEXEC_SESSION_STATUS >>$top/log");
    failed(&scripts.shell("echo ran"), 202, &["10W-a", "exited 1"]);
    assert_eq!(scripts.log(), ["refused 202"]);
    assert!(!scripts.is_registered());
}

#[test]
fn a_payload_that_is_not_executed_ends_its_session_as_refused() {
    let scripts = Scripts::new();
    scripts.put("removed/10W-a", "echo $GLEXEC_SESSION_RESULT $GLEXEC_SESSION_STATUS >>$top/log");
    failed(&scripts.glexec().arg("/nonexistent").output().unwrap(), 201, &["/nonexistent"]);
    assert_eq!(scripts.log(), ["refused 201"]);
}

#[test]
fn a_directory_that_other_users_can_write_to_is_passed_over() {
    let scripts = Scripts::new();
    scripts.put("added/10W-a", "echo ran >>$top/log");
    fs::set_permissions(scripts.path("session.d"), fs::Permissions::from_mode(0o777)).unwrap();
    let output = scripts.shell("true");
    assert_eq!(output.status.code(), Some(0));
    assert!(messages(&output).contains("chmod o-w"), "{}", messages(&output));
    assert!(scripts.log().is_empty());
    let mut relative = scripts.glexec();
    relative.env("GLEXEC_SESSION_SCRIPTS", "session.d").arg("/bin/true");
    failed(&relative.output().unwrap(), 201, &["GLEXEC_SESSION_SCRIPTS", "session.d"]);
}

#[test]
fn nothing_runs_around_the_agents_operations() {
    let scripts = Scripts::new();
    scripts.put("added/10W-a", "echo ran >>$top/log");
    let mut call = scripts.glexec();
    call.arg(program("condor_glexec_agent")).args(["signal", "1", "999999", "0"]);
    call.output().unwrap();
    assert!(scripts.log().is_empty(), "{:?}", scripts.log());
    let mut copy = scripts.glexec();
    let other = scripts.path("condor_glexec_agent");
    executable(&other, b"#!/bin/sh\n");
    copy.arg(other).args(["signal", "1", "999999", "0"]);
    succeeded(&copy.output().unwrap());
    assert_eq!(scripts.log(), ["ran"], "another program of that name is a payload");
}

#[test]
fn scripts_are_told_that_the_payload_was_suspended_and_continued() {
    let scripts = Scripts::new();
    scripts.put("changed/10-a", "echo $1 $CK_SESSION_IS_ACTIVE >>$top/log");
    let mut call = scripts.glexec();
    let mut child =
        call.arg("/bin/cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"x").unwrap();
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    for (signal, lines) in [(nix::sys::signal::SIGTSTP, 1), (nix::sys::signal::SIGCONT, 2)] {
        nix::sys::signal::kill(pid, signal).unwrap();
        wait_until("the script of a change", || scripts.log().len() == lines);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    assert_eq!(scripts.log(), ["session_active_changed false", "session_active_changed true"]);
}

#[test]
fn the_next_call_ends_the_session_of_one_that_was_killed() {
    let scripts = Scripts::new();
    scripts.put("added/10W-a", "echo begun >>$top/log");
    scripts.put("removed/10W-a", "echo $GLEXEC_SESSION_RESULT >>$top/log");
    let mut call = scripts.glexec();
    let mut child = begun(call.arg("/bin/cat"));
    assert_eq!(scripts.log(), ["begun"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(scripts.is_registered());
    // Also a call without scripts does.
    let mut next = scripts.glexec();
    next.env_remove("GLEXEC_SESSION_SCRIPTS").arg("/bin/true");
    let output = next.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
    assert_eq!(scripts.log(), ["begun", "again"]);
    assert!(!scripts.is_registered());
}

#[test]
fn notes_about_scripts_are_in_the_log_line() {
    let scripts = Scripts::new();
    write(scripts.path("session.d/added/README"), "", 0o644);
    let log = scripts.path("calls");
    write(&log, "", 0o600);
    own(&log, Account::batch());
    let output =
        scripts.glexec().env("GLEXEC_HELPERS_LOG", &log).arg("/bin/true").output().unwrap();
    assert_eq!(messages(&output), "");
    let line: serde_json::Value = serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap();
    let note = line["session_scripts"][0].as_str().unwrap();
    assert!(note.contains("added/README"), "{line}");
}

#[test]
fn glexec_sessions_lists_the_sessions_that_run() {
    let scripts = Scripts::new();
    scripts.put("added/10W-a", "echo begun >>$top/log");
    let mut child = scripts.glexec().args(["/bin/sleep", "1000s"]).spawn().unwrap();
    wait_until("the session", || scripts.log() == ["begun"]);
    let listed = |words: &[&str]| {
        let mut command = Account::batch().command(program("glexec_sessions"));
        let output = command.env("GLEXEC_STATE_DIR", scripts.state()).args(words).output().unwrap();
        succeeded(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&listed(&["--json"])).unwrap();
    let own = json.as_array().unwrap().iter().find(|session| session["pid"] == child.id());
    let own = own.unwrap_or_else(|| panic!("{json}"));
    assert_eq!(own["caller"], "gh-batch");
    assert_eq!(own["command"], "/bin/sleep 1000s");
    assert_eq!(own["sandbox"], serde_json::Value::Null);
    let user = own["user"].as_str().unwrap();
    let table = listed(&["--user", user]);
    assert!(table.starts_with("ID ") && table.contains(own["id"].as_str().unwrap()), "{table}");
    assert!(!listed(&["--user", "gh-other"]).contains("1000s"));
    let mut other = Account::batch().command(program("glexec_sessions"));
    assert_eq!(other.arg("--nonsense").output().unwrap().status.code(), Some(1));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().cast_signed()),
        nix::sys::signal::SIGTERM,
    )
    .unwrap();
    child.wait().unwrap();
    assert!(!listed(&["--json"]).contains("1000s"));
}

#[test]
fn a_pilots_scripts_run_around_its_payload_only() {
    for handover in ["copy", "own"] {
        let scripts = Scripts::new();
        let facts = "echo ${0##*/} $1 $GLEXEC_SESSION_RESULT >>$top/log";
        scripts.put("added/10W-a", &format!("{facts}; echo export SCRATCH=/a"));
        scripts.put("removed/10W-a", facts);
        let site = &scripts.rootless.site;
        let mut run = Account::batch().command(program("condor_glexec_pilot"));
        run.env("GLEXEC_HELPERS_HANDOVER", handover).env("GLEXEC_STATE_DIR", scripts.state());
        run.arg("run").arg("--glexec").arg(program("glexec"));
        run.arg("--execute").arg(site.execute());
        run.arg("--session-scripts").arg(scripts.path("session.d"));
        run.args(["--", "/bin/sh", "-c", "echo $SCRATCH; exit 3"]);
        let output = run.output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{handover}: {}", messages(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "/a\n", "{handover}");
        let log = scripts.log();
        let log: Vec<&str> =
            log.iter().map(|line| line.split_once(' ').unwrap().1.trim_end()).collect();
        assert_eq!(log, ["session_added", "session_removed exited"], "{handover}");
        assert!(!scripts.is_registered(), "{handover}");
    }
}

#[test]
fn a_script_that_refuses_a_pilots_payload_runs_once() {
    let scripts = Scripts::new();
    scripts.put("added/10W-a", "echo $1 >>$top/log; exit 1");
    scripts.put("removed/10W-a", "echo $1 $GLEXEC_SESSION_RESULT >>$top/log");
    let site = &scripts.rootless.site;
    let mut run = Account::batch().command(program("condor_glexec_pilot"));
    run.env("GLEXEC_STATE_DIR", scripts.state()).arg("run").arg("--glexec").arg(program("glexec"));
    run.arg("--execute").arg(site.execute());
    run.arg("--session-scripts").arg(scripts.path("session.d")).args(["--", "/bin/echo", "ran"]);
    let output = run.output().unwrap();
    failed(&output, 241, &["10W-a", "exited 1"]);
    assert!(output.stdout.is_empty());
    assert_eq!(scripts.log(), ["session_added", "session_removed refused"]);
    assert!(site.entries().is_empty() && !scripts.is_registered());
}

#[test]
fn a_pilots_scripts_need_the_projects_glexec() {
    let scripts = Scripts::new();
    let mut run = Account::batch().command(program("condor_glexec_pilot"));
    run.arg("run").arg("--glexec").arg("/bin/true");
    run.arg("--execute").arg(scripts.rootless.site.execute());
    run.arg("--session-scripts").arg(scripts.path("session.d")).args(["--", "/bin/true"]);
    failed(&run.output().unwrap(), 240, &["session scripts", "--session-scripts"]);
}

#[test]
fn doctor_says_which_scripts_would_run_and_which_not_and_why() {
    let scripts = Scripts::new();
    scripts.put("added/10W-a", ":");
    scripts.put("removed/10W-a", ":");
    scripts.put("removed/20W-b", ":");
    let loose = scripts.path("session.d/removed/20W-b");
    fs::set_permissions(&loose, fs::Permissions::from_mode(0o777)).unwrap();
    let mut doctor = Account::batch().command(program("condor_glexec_pilot"));
    doctor.args(["doctor", "--json", "--glexec"]).arg(program("glexec"));
    doctor.arg("--execute").arg(scripts.rootless.site.execute());
    doctor.env("GLEXEC_SESSION_SCRIPTS", scripts.path("session.d"));
    let output = doctor.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for words in ["added: these would run", "added/10W-a", "removed/10W-a", "run chmod o-w on it"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}
