//! A pilot's payload in a control group of version 2 that is delegated to the batch user. The
//! controllers for memory, processes and processors need a machine whose hierarchy has them; what
//! is tested here needs none: what belongs to a payload, its processor time, and the group's end.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::handover::text;
use support::pilot::{Pilot, signal, stdout_of};
use support::{Account, failed, messages, succeeded, wait_until};

/// A group that is delegated to the batch user.
struct Delegated {
    directory: PathBuf,
}

impl Delegated {
    fn new() -> Delegated {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = mounts.find(|words| words[2] == "cgroup2");
        let top = mount.expect("a mount of cgroups of version 2 is necessary")[1].to_owned();
        // Not the process id: tests in another pid namespace can have the same one.
        let name = format!("gh-test-{:016x}", fastrand::u64(..));
        let directory = Path::new(&top).join(name);
        fs::create_dir(&directory).unwrap();
        let batch = Account::batch();
        batch.owns(&directory);
        for file in ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            batch.owns(directory.join(file));
        }
        Delegated { directory }
    }

    /// The same call from this group, as the batch user.
    fn call(&self, call: &Command) -> Command {
        let batch = Account::batch();
        let mut inside = Command::new("sh");
        inside.args(["-c", "echo $$ >\"$1\"/cgroup.procs && shift && exec \"$@\"", "sh"]);
        inside.arg(&self.directory).arg("setpriv");
        inside.args([format!("--reuid={}", batch.uid), format!("--regid={}", batch.gid)]);
        inside.arg("--clear-groups").arg(call.get_program()).args(call.get_args());
        for (name, value) in call.get_envs() {
            inside.env(name, value.unwrap_or_default());
        }
        inside.current_dir("/");
        inside
    }

    /// The groups in it.
    fn groups(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::write(self.directory.join("cgroup.kill"), "1");
        wait_until("the group is removed", || {
            self.groups().iter().for_each(|group| drop(fs::remove_dir(group)));
            fs::remove_dir(&self.directory).is_ok() || !self.directory.exists()
        });
    }
}

struct Run {
    pilot: Pilot,
    delegated: Delegated,
    report: PathBuf,
}

impl Run {
    fn new() -> Run {
        let pilot = Pilot::new();
        let report = pilot.site.scratch().join("report");
        Run { pilot, delegated: Delegated::new(), report }
    }

    fn call(&self, options: &[&str], script: &str) -> Command {
        let mut call = self.pilot.run();
        call.arg("--report").arg(&self.report).args(options).args(["--", "sh", "-c", script]);
        self.delegated.call(&call)
    }

    fn shell(&self, options: &[&str], script: &str) -> (Output, Value) {
        let output = self.call(options, script).output().unwrap();
        let report = serde_json::from_str(&text(&self.report)).unwrap();
        (output, report)
    }

    fn start(&self, name: &str, script: &str) -> Child {
        let script = format!(": >begun; {script}");
        let mut call = self.call(&["--cpu-time", "1h", "--name", name], &script);
        call.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = call.spawn().unwrap();
        let begun = self.pilot.sandbox(name).join("begun");
        wait_until("the payload has begun", || begun.exists());
        child
    }
}

#[test]
fn the_payload_has_a_group_of_its_own_that_counts_for_it_and_is_removed() {
    let run = Run::new();
    let script = "cat /proc/self/cgroup; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    let (output, report) = run.shell(&["--cpu-time", "1h"], script);
    succeeded(&output);
    let name = run.delegated.directory.file_name().unwrap().to_str().unwrap();
    let group = format!("/{name}/glexec_helpers.");
    assert!(stdout_of(&output).contains(&group), "{}", stdout_of(&output));
    assert_eq!(report["used"]["cpu_measured_by"], "cgroup", "{report}");
    assert!(report["used"]["cpu_user_seconds"].as_f64().unwrap() > 0.0);
    assert!(run.delegated.groups().is_empty(), "{:?}", run.delegated.groups());
    // Without a limit there is none.
    let (output, _) = run.shell(&[], "cat /proc/self/cgroup");
    assert!(!stdout_of(&output).contains(&group), "{}", stdout_of(&output));
}

#[test]
fn a_process_that_has_left_its_parent_and_its_session_is_counted() {
    let run = Run::new();
    let perl =
        "$x = q(x); $x x= 150 << 20; substr($x, $_ << 12, 1) = q(y) for 0 .. 38000; sleep 600";
    // The second child has neither a parent nor a session of the payload's at its first look.
    let script =
        format!("(setsid sh -c 'setsid perl -e \"$1\" & exit' sh '{perl}'); exec sleep 600");
    let (output, report) = run.shell(&["--memory", "100M"], &script);
    failed(&output, 137, &["it exceeds --memory"]);
    assert_eq!(report["limits"]["memory"]["enforced_by"], json!(["watching"]));
    assert!(run.delegated.groups().is_empty(), "{:?}", run.delegated.groups());
}

#[test]
fn the_time_of_processes_that_are_not_waited_for_is_counted() {
    let run = Run::new();
    // With SIGCHLD ignored, no process gets the time of a child.
    let script = "exec perl -e '$SIG{CHLD} = q(IGNORE); while (1) {
        if (!fork) { $end = (times)[0] + 0.02; 1 while (times)[0] < $end; exit } wait }'";
    let (output, report) = run.shell(&["--cpu-time", "1"], script);
    failed(&output, 143, &["it exceeds --cpu-time"]);
    let used = report["used"]["cpu_user_seconds"].as_f64().unwrap()
        + report["used"]["cpu_system_seconds"].as_f64().unwrap();
    assert!(used >= 1.0, "{report}");
}

#[test]
fn the_group_of_a_killed_pilot_is_removed_by_the_next_run_and_by_recover() {
    let run = Run::new();
    let beside = run.start("beside", "until [ -e end ]; do sleep 0.1; done");
    let of_beside = run.delegated.groups();
    let killed = |name: &str| {
        let mut child = run.start(name, "exec sleep 600");
        assert_eq!(run.delegated.groups().len(), 2);
        signal(&child, Signal::SIGKILL);
        child.wait().unwrap();
        assert_eq!(run.delegated.groups().len(), 2, "the group of a killed pilot is left");
    };
    killed("first");
    succeeded(&run.shell(&["--cpu-time", "1h"], "true").0);
    assert_eq!(run.delegated.groups(), of_beside, "that of a running pilot stays");
    killed("second");
    let recover = run.pilot.of("recover", &["--discard"], "second");
    succeeded(&run.delegated.call(&recover).output().unwrap());
    assert_eq!(run.delegated.groups(), of_beside);
    fs::write(run.pilot.sandbox("beside").join("end"), "").unwrap();
    assert!(beside.wait_with_output().unwrap().status.success());
    assert!(run.delegated.groups().is_empty());
}

#[test]
fn without_a_delegated_group_the_limits_are_watched() {
    let run = Run::new();
    fs::set_permissions(&run.delegated.directory, fs::Permissions::from_mode(0o555)).unwrap();
    let (output, report) = run.shell(&["--cpu-time", "1h"], "exit 7");
    assert_eq!((output.status.code(), messages(&output).as_str()), (Some(7), ""));
    assert_eq!(report["used"]["cpu_measured_by"], "wait4");
}
