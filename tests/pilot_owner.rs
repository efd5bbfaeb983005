//! A pilot whose sandbox changes its owner: through the project's `glexec`, as the batch user with
//! its real subordinate ids.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::glexec::Rootless;
use support::handover::{mode, set_mode, text};
use support::pilot::{CREDENTIAL, Pilot};
use support::{Account, messages, program, succeeded, variables_of, wait_until, write};

/// A pilot, and a call of `run` with a report.
fn pilot() -> Pilot {
    Pilot { site: Rootless::new().site }
}

fn run(pilot: &Pilot, name: &str, options: &[&str], script: &str) -> Command {
    let mut call = pilot.run_through_any();
    call.arg("--glexec").arg(program("glexec")).arg("--execute").arg(pilot.site.execute());
    call.args(["--name", name, "--report"]).arg(report_file(pilot)).args(options);
    call.args(["--", "sh", "-c", script]).stdin(Stdio::null());
    call
}

fn recover(pilot: &Pilot, name: &str) -> Command {
    let mut call = pilot.call("recover");
    call.arg("--glexec").arg(program("glexec")).arg("--output").arg(pilot.output());
    call.arg(pilot.sandbox(name));
    call
}

fn report_file(pilot: &Pilot) -> PathBuf {
    pilot.site.scratch().join("report")
}

/// The report's step with this name.
fn step(pilot: &Pilot, name: &str) -> Value {
    let report: Value = serde_json::from_str(&text(report_file(pilot))).unwrap();
    let steps = report["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("{report}")).clone()
}

/// An input with something in it.
fn input(pilot: &Pilot) -> PathBuf {
    pilot.input(|top| {
        fs::create_dir(top.join("below")).unwrap();
        for number in 0..20 {
            write(top.join(format!("below/{number}")), format!("{number}"), 0o644);
        }
        write(top.join("file"), "input", 0o640);
    })
}

#[test]
fn a_payload_has_its_sandbox_without_a_copy_and_the_report_says_so() {
    let pilot = pilot();
    let (input, output) = (input(&pilot), pilot.output());
    let options = ["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let script = "ls -A; echo more >>file; (setsid sleep 100 &); rm below/1";
    let ran = run(&pilot, "s", &options, script).output().unwrap();
    succeeded(&ran);
    // No file of the pilot's is in it.
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "below\nfile\n");
    assert_eq!(text(output.join("file")), "inputmore\n");
    assert_eq!(fs::read_dir(output.join("below")).unwrap().count(), 19);
    assert_eq!((mode(&output), Account::of(&output)), (0o700, Account::batch()));
    pilot.is_empty("after it");
    let (setup, cleanup) = (step(&pilot, "setup"), step(&pilot, "cleanup"));
    assert_eq!((&setup["handover"], &setup["moved"]["files"]), (&"own".into(), &21.into()));
    assert_eq!((&cleanup["handover"], &cleanup["moved"]["files"]), (&"own".into(), &20.into()));
    assert_eq!(step(&pilot, "kill")["kill"]["processes"], 1);
}

#[test]
fn a_sandbox_that_cannot_be_given_or_taken_is_copied_and_the_report_says_why() {
    let pilot = pilot();
    let output = pilot.output();
    let options = ["--output", output.to_str().unwrap()];
    let script = "echo result >file; mkdir open; chmod 777 open";
    succeeded(&run(&pilot, "s", &options, script).output().unwrap());
    assert_eq!(text(output.join("file")), "result\n");
    let cleanup = step(&pilot, "cleanup");
    assert_eq!(cleanup["handover"], "copy", "{cleanup}");
    let why = cleanup["handover_reason"].as_str().unwrap();
    assert!(why.contains("may write to this directory"), "{why}");
    pilot.is_empty("after the first");
    fs::remove_dir_all(&output).unwrap();
    let open = pilot.input(|top| {
        write(top.join("file"), "input", 0o640);
        fs::create_dir(top.join("open")).unwrap();
        set_mode(top.join("open"), 0o777);
    });
    let options = [options[0], options[1], "--input", open.to_str().unwrap()];
    succeeded(&run(&pilot, "s", &options, "echo more >>file").output().unwrap());
    assert_eq!(text(output.join("file")), "inputmore\n");
    let setup = step(&pilot, "setup");
    assert_eq!(setup["handover"], "copy", "{setup}");
    let why = setup["handover_reason"].as_str().unwrap();
    assert!(why.contains("may write to this directory"), "{why}");
    pilot.is_empty("after the second");
    fs::remove_dir_all(&output).unwrap();
    let mut call = run(&pilot, "s", &["--output", output.to_str().unwrap()], "echo x >file");
    succeeded(&call.env("GLEXEC_HELPERS_HANDOVER", "copy").output().unwrap());
    let setup = step(&pilot, "setup");
    assert_eq!((&setup["handover"], &setup["handover_reason"]), (&"copy".into(), &Value::Null));
}

/// Kills the pilots of this site.
fn kill_pilots(pilot: &Pilot) {
    let execute = pilot.site.execute().display().to_string();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let is_pilot = fs::read_link(entry.path().join("exe"))
            .is_ok_and(|exe| exe.ends_with("condor_glexec_pilot"));
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if is_pilot && String::from_utf8_lossy(&line).contains(&execute) {
            let pid = entry.file_name().to_str().unwrap().parse().unwrap();
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

#[test]
fn a_pilot_that_is_killed_while_the_owner_changes_loses_nothing() {
    let pilot = pilot();
    let (input, output) = (input(&pilot), pilot.output());
    let mut tried = 0;
    for (call, numbers) in
        [("fchown", &[1, 2, 3, 4][..]), ("fchownat", &[1, 2, 15, 23, 30]), ("fchmod", &[1, 2, 3])]
    {
        for number in numbers {
            let what = format!("{call} {number}");
            let options =
                ["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
            let mut run = run(&pilot, "s", &options, "echo more >>file; rm below/1");
            run.env("PATH", "/usr/bin:/bin");
            // The process is stopped there, until the pilot is killed.
            let inject = format!("signal=SIGSTOP:when={number}");
            let log = pilot.site.path().join("log");
            let _ = fs::remove_file(&log);
            let mut strace = Command::new("strace");
            strace.args(["-u", "gh-batch", "-f", "-q", "-o"]).arg(&log);
            strace.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{inject}")]);
            strace.arg(run.get_program()).args(run.get_args());
            strace.env_clear().envs(variables_of(&run)).current_dir("/").stdin(Stdio::null());
            let mut strace = strace.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            let mut has_ended = false;
            wait_until(&format!("{what}: it is held, or has ended"), || {
                has_ended = strace.try_wait().unwrap().is_some();
                has_ended
                    || fs::read_to_string(&log).is_ok_and(|log| log.contains("stopped by SIGSTOP"))
            });
            if has_ended {
                let _ = fs::remove_dir_all(&output);
                continue;
            }
            tried += 1;
            kill_pilots(&pilot);
            strace.wait().unwrap();
            let is_made = pilot.sandbox("s").exists();
            let recovered = recover(&pilot, "s").output().unwrap();
            if !is_made {
                // The pilot was making it.
                pilot.is_empty(&what);
                continue;
            }
            assert!(output.exists(), "{what}: {}", messages(&recovered));
            let (file, count) =
                (text(output.join("file")), fs::read_dir(output.join("below")).unwrap().count());
            assert!(
                (file.as_str(), count) == ("input", 20)
                    || (file.as_str(), count) == ("inputmore\n", 19),
                "{what}: {file} {count}"
            );
            support::handover::assert_owner(&output, Account::batch());
            assert!(!output.join(CREDENTIAL).exists(), "{what}");
            pilot.is_empty(&what);
            fs::remove_dir_all(&output).unwrap();
        }
    }
    assert!(tried > 4, "{tried}");
}
