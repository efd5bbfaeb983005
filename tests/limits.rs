//! Limits of a pilot's payload: what ends it, by which means, and what the report says. Each
//! payload that is to be ended waits without an end.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::families::is_alive;
use support::handover::text;
use support::pilot::{Pilot, signal, stdout_of};
use support::{Account, failed, is_rootless, messages, succeeded, wait_until};

/// A pilot's run with a report.
struct Run {
    pilot: Pilot,
    report: PathBuf,
}

impl Run {
    fn new() -> Run {
        let pilot = Pilot::new();
        let report = pilot.site.scratch().join("report");
        Run { pilot, report }
    }

    fn call(&self, options: &[&str]) -> Command {
        let mut call = self.pilot.run();
        call.arg("--report").arg(&self.report).arg("--output").arg(self.pilot.output());
        call.args(options);
        call
    }

    /// Runs a shell script as a payload.
    fn shell(&self, options: &[&str], script: &str) -> (Output, Value) {
        let mut call = self.call(options);
        let output = call.args(["--", "sh", "-c", script]).output().unwrap();
        (output, self.report())
    }

    fn report(&self) -> Value {
        serde_json::from_str(&text(&self.report)).unwrap()
    }

    /// Fails unless one line, which is in the report too, says that the payload was ended for this
    /// limit; and unless its file has come back, and nothing is left.
    fn was_ended(&self, (output, report): &(Output, Value), status: i32, limit: &str) {
        failed(output, status, &[&format!("the payload is ended: it exceeds --{limit}, ")]);
        assert_eq!(report["notices"][0], messages(output).trim_end());
        assert_eq!(report["ended_by"], limit, "{report}");
        assert_eq!(report["status"], status);
        assert_eq!(text(self.pilot.output().join("made")), "before\n");
        self.pilot.is_empty("after it");
    }
}

/// Perl code that uses so many megabytes: it writes to each page of a string.
fn use_memory(megabytes: u32) -> String {
    let pages = megabytes * 256;
    format!(
        "$x = q(x); $x x= {megabytes} << 20; substr($x, $_ << 12, 1) = q(y) for 0 .. {pages} - 1"
    )
}

const WAIT: &str = "exec sleep 600";

#[test]
fn a_payload_that_exceeds_its_memory_is_killed_without_grace_and_its_files_come_back() {
    let run = Run::new();
    let perl = use_memory(200);
    let script = format!("trap '' TERM; echo before >made; exec perl -e '{perl}; sleep 600'");
    let ended = run.shell(&["--memory", "100M", "--grace", "1h"], &script);
    run.was_ended(&ended, 137, "memory");
    let report = ended.1;
    let limits = json!({ "memory": { "value": 100 << 20, "enforced_by": ["watching"] } });
    assert_eq!(report["limits"], limits);
    assert_eq!(report["payload_end"], "killed 9");
    assert!(report["used"]["peak_memory"].as_u64().unwrap() > 100 << 20, "{report}");
}

#[test]
fn the_memory_of_all_processes_counts_also_of_one_that_has_left_its_session() {
    let run = Run::new();
    let perl = use_memory(60);
    let one = format!("perl -e '{perl}; sleep 600'");
    let script = format!("echo before >made; setsid {one} & {one} & {WAIT}");
    run.was_ended(&run.shell(&["--memory", "100M"], &script), 137, "memory");
}

#[test]
fn through_glexec_memory_that_processes_share_after_a_fork_counts_once() {
    let run = Run::new();
    let perl = use_memory(60);
    // It runs for many looks; or until one of them has ended it.
    let seconds = if is_rootless() { 1 } else { 600 };
    let script =
        format!("perl -e '{perl}; fork; fork; select undef, undef, undef, {seconds}; wait'");
    let (output, report) = run.shell(&["--memory", "100M"], &script);
    if is_rootless() {
        succeeded(&output);
        assert!(report["used"]["peak_memory"].as_u64().unwrap() < 100 << 20, "{report}");
    } else {
        failed(&output, 137, &["--memory"]);
    }
}

#[test]
fn a_payload_gets_no_more_processes_than_its_limit_and_its_neighbour_lives_on() {
    let run = Run::new();
    let neighbour = Pilot::new();
    let mut beside = neighbour.start("beside", &[], "until [ -e end ]; do sleep 0.1; done");
    let script = format!(
        "echo before >made; n=0; while [ $n -lt 20 ]; do sleep 600 & n=$((n+1)); done; {WAIT}"
    );
    let ended = run.shell(&["--pids", "10"], &script);
    if is_rootless() {
        // The kernel refuses the eleventh process: the shell sees that, and ends.
        let (output, report) = &ended;
        assert_eq!(report["limits"]["pids"]["enforced_by"], json!(["rlimit"]));
        failed(output, 2, &["annot fork"]);
    } else {
        run.was_ended(&ended, 137, "pids");
        assert_eq!(ended.1["limits"]["pids"]["enforced_by"], json!(["watching"]));
        assert!(ended.1["used"]["peak_pids"].as_u64().unwrap() > 10);
    }
    // Nine further ones of ten are no more than the limit.
    fs::remove_dir_all(run.pilot.output()).unwrap();
    let script = "for n in 1 2 3 4 5 6 7 8 9; do sleep 0.3 & done; wait; echo all";
    let (output, _) = run.shell(&["--pids", "10"], script);
    assert_eq!((output.status.code(), stdout_of(&output).as_str()), (Some(0), "all\n"));
    assert!(beside.try_wait().unwrap().is_none(), "the neighbour has ended");
    let end = neighbour.sandbox("beside").join("end");
    fs::write(&end, "").unwrap();
    assert!(beside.wait().unwrap().success());
}

#[test]
fn threads_count_as_processes() {
    let run = Run::new();
    let script = "echo before >made; exec python3 -c '
import threading, time
for n in range(20):
    threading.Thread(target=time.sleep, args=[600], daemon=True).start()
time.sleep(600)
'";
    let (output, report) = run.shell(&["--pids", "10"], script);
    if is_rootless() {
        assert!(messages(&output).contains("start new thread"), "{}", messages(&output));
    } else {
        assert_eq!(report["ended_by"], "pids", "{report}");
    }
}

#[test]
fn a_file_does_not_grow_beyond_its_limit() {
    let run = Run::new();
    let script = "echo before >made; exec dd if=/dev/zero of=file bs=1M count=3 2>/dev/null";
    let ended = run.shell(&["--file-size", "1M"], script);
    run.was_ended(&ended, 153, "file-size");
    assert_eq!(fs::metadata(run.pilot.output().join("file")).unwrap().size(), 1 << 20);
    let limits = json!({ "file_size": { "value": 1 << 20, "enforced_by": ["rlimit"] } });
    assert_eq!(ended.1["limits"], limits);
    // A write that fails is the payload's own affair.
    fs::remove_dir_all(run.pilot.output()).unwrap();
    let script = "trap '' XFSZ; dd if=/dev/zero of=file bs=1M count=3 2>/dev/null; echo $?";
    let (output, report) = run.shell(&["--file-size", "1M"], script);
    assert_eq!((output.status.code(), stdout_of(&output).as_str()), (Some(0), "1\n"));
    assert_eq!(report["ended_by"], Value::Null);
}

#[test]
fn the_processor_time_of_all_processes_ends_a_payload_with_grace() {
    let run = Run::new();
    let script = "trap 'echo before >made; exit 9' TERM; for n in 1 2 3; do
        sh -c 'while :; do :; done' & done; while :; do :; done";
    let ended = run.shell(&["--cpu-time", "1s", "--grace", "1h"], script);
    run.was_ended(&ended, 9, "cpu-time");
    let report = ended.1;
    assert_eq!(report["limits"]["cpu_time"]["enforced_by"], json!(["watching", "rlimit"]));
    let used = report["used"]["cpu_user_seconds"].as_f64().unwrap()
        + report["used"]["cpu_system_seconds"].as_f64().unwrap();
    assert!(used >= 1.0, "{report}");
}

#[test]
fn the_processor_time_of_a_process_is_limited_while_the_pilot_is_stopped() {
    let run = Run::new();
    let mut call = run.call(&["--cpu-time", "1s", "--name", "s"]);
    let script = "echo before >made; echo $$ >pid.new; mv pid.new pid
        until [ -e go ]; do sleep 0.1; done; exec perl -e '1 while 1'";
    call.args(["--", "sh", "-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = call.spawn().unwrap();
    let sandbox = run.pilot.sandbox("s");
    wait_until("it has begun", || sandbox.join("pid").exists());
    signal(&child, Signal::SIGSTOP);
    // Its children are agents and the switcher's processes; one of them is the payload.
    let perl = || {
        let marked = support::pilot::family(&sandbox);
        marked.into_iter().find(|pid| comm(*pid) == "perl\n")
    };
    fs::write(sandbox.join("go"), "").unwrap();
    let mut found = None;
    wait_until("it computes", || {
        found = found.or_else(perl);
        found.is_some()
    });
    wait_until("the kernel has ended it", || !is_alive(found.unwrap()));
    signal(&child, Signal::SIGCONT);
    let output = child.wait_with_output().unwrap();
    // The pilot also forwards SIGCONT. If that comes too late for the payload, it is a line more.
    assert_eq!(output.status.code(), Some(152));
    assert!(messages(&output).contains("the payload is ended: it exceeds --cpu-time, 1 s"));
    let report = run.report();
    assert_eq!(report["ended_by"], "cpu-time");
    assert_eq!(report["payload_end"], "killed 24");
    assert_eq!(text(run.pilot.output().join("made")), "before\n");
}

fn comm(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

#[test]
fn a_payload_whose_sandbox_exceeds_its_disk_is_killed_and_its_files_come_back() {
    let run = Run::new();
    let script = format!(
        "trap '' TERM; echo before >made; mkdir -m 700 closed
        for n in 1 2 3 4 5 6; do head -c 1000000 /dev/zero >closed/$n; done; {WAIT}"
    );
    let ended = run.shell(&["--disk", "5M", "--grace", "1h"], &script);
    run.was_ended(&ended, 137, "disk");
    let report = ended.1;
    let limits = json!({ "disk": { "value": 5 << 20, "enforced_by": ["watching"] } });
    assert_eq!(report["limits"], limits);
    assert!(report["used"]["peak_disk"].as_u64().unwrap() > 5 << 20, "{report}");
    assert_eq!(fs::read_dir(run.pilot.output().join("closed")).unwrap().count(), 6);
}

#[test]
fn through_sudo_a_payload_that_kills_the_agent_that_measures_its_sandbox_is_ended() {
    let run = Run::new();
    // Many files, so that the agent is busy for longer than a look at all processes takes.
    let script = "echo before >made; mkdir many; \
                  perl -e 'open my $f, q(>), qq(many/$_) for 1 .. 10000'; \
                  while :; do pkill -KILL -f \"serve $PWD$\"; done 2>/dev/null";
    let (output, report) = run.shell(&["--disk", "50M"], script);
    failed(&output, 137, &["--disk cannot be watched any more; the payload is ended"]);
    assert_eq!(report["ended_by"], "disk");
    assert_eq!(text(run.pilot.output().join("made")), "before\n");
}

#[test]
fn a_payload_runs_on_so_many_processors() {
    let run = Run::new();
    let (output, report) = run.shell(&["--cpus", "1"], "nproc");
    assert_eq!((output.status.code(), stdout_of(&output).as_str()), (Some(0), "1\n"));
    assert_eq!(report["limits"]["cpus"], json!({ "value": 1, "enforced_by": ["affinity"] }));
    fs::remove_dir_all(run.pilot.output()).unwrap();
    let all = Command::new("nproc").output().unwrap();
    assert_eq!(stdout_of(&run.shell(&["--cpus", "999"], "nproc").0), stdout_of(&all));
}

#[test]
fn a_payload_below_its_limits_is_not_affected_and_the_report_says_what_it_used() {
    let run = Run::new();
    let options = [
        "--memory",
        "1T",
        "--pids",
        "1000",
        "--cpus",
        "100",
        "--file-size",
        "1G",
        "--disk",
        "1T",
        "--cpu-time",
        "1d",
    ];
    let (output, report) = run.shell(&options, "head -c 5000000 /dev/zero >file; exit 7");
    succeeded_with(&output, 7);
    let used = &report["used"];
    assert_eq!((&report["ended_by"], &report["notices"]), (&Value::Null, &json!([])));
    assert!(used["bytes_written"].as_u64().unwrap() >= 5_000_000, "{used}");
    assert!(used["cpu_user_seconds"].as_f64().unwrap() >= 0.0, "{used}");
    assert!(used["peak_process_memory"].as_u64().unwrap() > 0, "{used}");
    for (name, limit) in report["limits"].as_object().unwrap() {
        assert!(!limit["enforced_by"].as_array().unwrap().is_empty(), "{name}");
    }
}

#[test]
fn without_limits_the_report_says_what_is_known_and_nothing_else() {
    let run = Run::new();
    let (output, report) = run.shell(&[], "head -c 5000000 /dev/zero >file");
    succeeded(&output);
    assert_eq!(report["limits"], json!({}));
    let used = &report["used"];
    assert!(used["bytes_written"].as_u64().unwrap() >= 5_000_000, "{used}");
    assert_eq!(used["cpu_measured_by"], "wait4");
    for unknown in ["peak_memory", "peak_pids", "peak_disk"] {
        assert_eq!(used[unknown], Value::Null, "{unknown}");
    }
}

#[test]
fn a_wrong_limit_is_a_usage_error() {
    let run = Run::new();
    for (options, words) in [
        (["--memory", "0"], "--memory must be above 0"),
        (["--memory", "1.5G"], "--memory must be a number of bytes"),
        (["--disk", "1GB"], "--disk must be a number of bytes"),
        (["--file-size", ""], "--file-size must be a number of bytes"),
        (["--pids", "+1"], "--pids must be a number"),
        (["--cpus", "0.5"], "--cpus must be a number"),
        (["--cpu-time", "1ms"], "--cpu-time must be a number of seconds"),
    ] {
        let mut call = run.call(&options);
        failed(&call.args(["--", "true"]).output().unwrap(), 240, &[words]);
        run.pilot.is_empty("after a wrong limit");
    }
}

#[test]
fn a_limit_that_cannot_be_enforced_is_a_usage_error_unless_best_effort_is_asked_for() {
    let run = Run::new();
    // As the batch user, with a /proc that hides other users' processes.
    let hidden = |options: &[&str]| {
        let call = run.call(options);
        let mut hidden = Command::new("unshare");
        let batch = Account::batch();
        hidden.args(["--mount", "--propagation", "private", "sh", "-c"]);
        hidden.arg("mount -t proc -o hidepid=2 proc /proc && exec \"$@\"").arg("sh");
        hidden.arg("setpriv").args([&format!("--reuid={}", batch.uid)]);
        hidden.args([&format!("--regid={}", batch.gid), "--clear-groups"]);
        hidden.arg(call.get_program()).args(call.get_args());
        for (name, value) in call.get_envs() {
            hidden.env(name, value.unwrap_or_default());
        }
        hidden.args(["--", "sh", "-c", "exit 7"]).current_dir("/").output().unwrap()
    };
    for limit in [["--memory", "1G"], ["--cpu-time", "1h"]] {
        let refused = hidden(&limit);
        let name = limit[0];
        failed(&refused, 240, &["nothing was done", name, "cannot be enforced", "hidepid"]);
        assert_eq!(run.report()["status"], 240);
        run.pilot.is_empty("after it");
        let output = hidden(&[limit[0], limit[1], "--best-effort"]);
        failed(&output, 7, &[name, "is not enforced", "hidepid"]);
        let report = run.report();
        assert_eq!(report["notices"].as_array().unwrap().len(), 1);
        let by = if limit[0] == "--memory" { json!([]) } else { json!(["rlimit"]) };
        let limits = report["limits"].as_object().unwrap();
        assert_eq!(limits.values().next().unwrap()["enforced_by"], by);
        fs::remove_dir_all(run.pilot.output()).unwrap();
    }
    // These need no look at other users' processes.
    succeeded_with(&hidden(&["--file-size", "1G", "--disk", "1G", "--cpus", "1"]), 7);
}

fn succeeded_with(output: &Output, status: i32) {
    assert_eq!((output.status.code(), messages(output).as_str()), (Some(status), ""));
}
