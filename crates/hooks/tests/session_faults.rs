//! Session scripts that fail, hang, flood or are replaced, and calls that are killed. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use support::sessions::Scripts;
use support::{LIMITS, is_alive, pid_in, wait_for};

/// Scripts whose run at the end adds the result to the log.
const RESULT: &str = "echo ${0##*/} $GLEXEC_SESSION_RESULT $GLEXEC_SESSION_STATUS >>$top/log";

#[test]
fn a_failure_before_the_payload_refuses_it_and_those_that_ran_get_their_counterpart() {
    let scripts = Scripts::new();
    scripts.put("added/10W-first", "echo added first >>$top/log");
    scripts.put("added/20W-second", "exit 7");
    scripts.put("added/30W-third", "echo added third >>$top/log");
    scripts.put("removed/70W-third", &format!("echo third >>$top/log; {RESULT}"));
    scripts.put("removed/80W-first", &format!("echo first >>$top/log; {RESULT}"));
    scripts.put("removed/90W-second", "echo second >>$top/log");
    scripts.put("removed/95W-without", "echo without >>$top/log");
    let printed = scripts.run();
    assert_eq!(printed.len(), 1, "{printed:?}");
    assert!(printed[0].starts_with("failed session script"), "{printed:?}");
    assert!(printed[0].contains("20W-second") && printed[0].contains("exited 7"), "{printed:?}");
    let log = scripts.log();
    let log: Vec<&str> = log.iter().map(String::as_str).collect();
    let [added, first, result, second, without] = log[..] else { panic!("{log:?}") };
    assert_eq!([added, first, second, without], ["added first", "first", "second", "without"]);
    assert!(result.ends_with("refused 202"), "{result}");
    scripts.wait_until_unregistered();
}

#[test]
fn a_failure_that_is_to_be_logged_does_not_refuse_the_payload() {
    let mut scripts = Scripts::new();
    scripts.failure = "log";
    scripts.put("added/10W-a", "exit 7");
    scripts.put("added/20W-b", "echo b >>$top/log");
    scripts.put("removed/10W-a", RESULT);
    let printed = scripts.run();
    assert!(printed.iter().any(|line| line.contains("10W-a: it exited 7")), "{printed:?}");
    let log = scripts.log();
    assert!(log[0] == "b" && log[1].ends_with("exited 3"), "{log:?}");
}

#[test]
fn a_script_that_hangs_is_ended_with_all_that_it_has_started() {
    let mut scripts = Scripts::new();
    scripts.failure = "log";
    let hang = "trap '' TERM HUP
        setsid sh -c 'echo $$ >$0/away; exec sleep 1000' $top &
        while [ ! -s $top/away ]; do sleep 0.01; done
        trap - TERM; trap 'echo TERM >>$top/log; exit' TERM
        : >$top/begun; sleep 1000 & wait";
    scripts.put("added/10W-hang", hang);
    let has_begun = |limit| {
        scripts.timeout = limit;
        let _ = fs::remove_file(scripts.site.path("log"));
        let printed = scripts.run();
        let told = format!("ended after {} s", limit.parse::<f64>().unwrap() / 1000.0);
        assert!(printed.iter().any(|line| line.contains(&told)), "{told}: {printed:?}");
        scripts.site.path("begun").exists()
    };
    assert!(LIMITS.into_iter().any(has_begun));
    assert!(!is_alive(&pid_in(&scripts.site.path("away"))));
    assert_eq!(scripts.log(), ["TERM"]);
}

#[test]
fn what_a_script_prints_changes_the_payloads_environment_in_order() {
    let scripts = Scripts::new();
    scripts.put("added/10W-a", "echo export A=1; echo 'export B=x y=z'; echo print hello there");
    scripts.put("added/20W-b", "echo export A=2; echo unset OLD; echo unset NONE");
    assert_eq!(scripts.run(), ["B=x y=z", "A=2", "hello there", "begun"]);
}

#[test]
fn lines_that_are_refused_are_told_and_the_others_apply() {
    let scripts = Scripts::new();
    scripts.put(
        "added/10W-a",
        "echo export LD_PRELOAD=/tmp/x; echo export =x; echo 'export A=1'; echo 'export C D=1'
         printf 'export N\\0X=1\\n'; echo hello",
    );
    let printed = scripts.run();
    assert_eq!(printed[..3], ["OLD=1", "A=1", "begun"]);
    for what in ["LD_PRELOAD=/tmp/x", "export =x", "export C D=1", "NUL", "hello"] {
        assert!(printed[3..].iter().any(|line| line.contains(what)), "{what}: {printed:#?}");
    }
    assert_eq!(printed.len(), 8);
}

#[test]
fn a_flood_of_output_is_read_to_its_end_and_none_of_it_is_used() {
    let mut scripts = Scripts::new();
    scripts.failure = "log";
    scripts
        .put("added/10W-a", "echo export A=1; yes print x | head -c 3000000; echo ran >>$top/log");
    let printed = scripts.run();
    assert_eq!(printed[..2], ["OLD=1", "begun"]);
    assert!(printed[2].contains("more than 64 KiB") && printed.len() == 3, "{printed:?}");
    assert_eq!(scripts.log(), ["ran"]);
}

#[test]
fn a_script_that_is_replaced_during_the_run_is_examined_again() {
    let scripts = Scripts::new();
    let other = scripts.put("other", "echo replaced >>$top/log");
    chown(other, Some(61_001), None).unwrap();
    scripts.put("added/10W-a", "mv $top/other $top/added/20W-b");
    scripts.put("added/20W-b", "echo good >>$top/log");
    let printed = scripts.run();
    assert!(printed[0].contains("user 61001 is not trusted"), "{printed:?}");
    assert!(scripts.log().is_empty());
}

#[test]
fn a_hundred_sessions_at_once_each_run_their_scripts_and_leave_no_entry() {
    let scripts = Scripts::new();
    for event in ["added", "removed"] {
        scripts
            .put(&format!("{event}/10W-a"), &format!("echo {event} $GLEXEC_SESSION_ID >>$top/log"));
    }
    let children: Vec<_> = (0..100).map(|_| scripts.command().spawn().unwrap()).collect();
    wait_for("all sessions", || {
        (scripts.log().iter().filter(|line| line.starts_with("added")).count() == 100).then_some(())
    });
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    scripts.wait_until_unregistered();
    let mut log = scripts.log();
    log.sort();
    log.dedup();
    assert_eq!(log.len(), 200);
}

/// Kills each process whose command line or environment names this directory, until none is left.
fn kill_everything(top: &Path) {
    let pattern = top.display().to_string();
    wait_for("the end of everything", || {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let mut count = 0;
        for entry in pids {
            let Ok(pid) = entry.file_name().into_string().unwrap_or_default().parse::<u32>() else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let is_ours = String::from_utf8_lossy(&line).contains(&pattern);
            if is_ours && is_alive(&pid.to_string()) {
                count += 1;
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            }
        }
        (count == 0).then_some(())
    });
}

/// The lines of the log that a whole session adds after everything was killed when a script had
/// written `at`.
fn log_after_a_kill(scripts: &Scripts, at: &str) -> Vec<String> {
    let mut child = scripts.command().spawn().unwrap();
    let payload = child.stdin.take().filter(|_| at == "payload");
    let pid = pid_in(&scripts.site.path("reached"));
    kill_everything(scripts.site.top());
    drop(payload);
    let _ = (child.kill(), child.wait());
    // A process that dies has no command line any more.
    wait_for("its end", || (!is_alive(&pid)).then_some(()));
    assert_eq!(scripts.registered().len(), 1, "the entry of the session that was killed");
    fs::write(scripts.site.path("calm"), "").unwrap();
    let _ = fs::remove_file(scripts.site.path("log"));
    let printed = scripts.run();
    assert!(printed.iter().any(|line| line.contains("was interrupted")), "{at}: {printed:?}");
    scripts.wait_until_unregistered();
    scripts.log()
}

#[test]
fn a_session_that_was_killed_at_any_step_is_ended_once_by_the_next_call() {
    for at in ["added", "payload", "removed", "last"] {
        let scripts = Scripts::new();
        let stop_at = |name: &str| {
            format!(
                "[ -e $top/calm ] || [ {name} != {at} ] || {{ echo $$ >$top/reached; sleep 1000; }}"
            )
        };
        scripts.put("added/10W-a", &stop_at("added"));
        scripts.put("added/20D-d", &stop_at("payload"));
        scripts.put("removed/10W-a", &format!("{}; {RESULT}", stop_at("removed")));
        scripts.put("removed/90-l", &format!("{}; {RESULT}", stop_at("last")));
        let log = log_after_a_kill(&scripts, at);
        let mut results: Vec<&str> =
            log.iter().map(|line| line.split_once(' ').unwrap().1.trim()).collect();
        results.sort_unstable();
        assert_eq!(results, ["again", "again", "exited 3", "exited 3"], "{at}: {log:?}");
    }
}

#[test]
fn an_entry_that_was_never_complete_is_removed() {
    let scripts = Scripts::new();
    scripts.put("removed/10W-a", RESULT);
    fs::create_dir_all(scripts.site.path("registry/sessions/1-1")).unwrap();
    fs::create_dir_all(scripts.site.path("registry/sessions/1-2")).unwrap();
    fs::write(scripts.site.path("registry/sessions/1-2/lock"), "").unwrap();
    fs::write(scripts.site.path("registry/sessions/1-2/id"), "1-2").unwrap();
    assert_eq!(scripts.run(), ["OLD=1", "begun"]);
    assert_eq!(scripts.log().len(), 1);
    scripts.wait_until_unregistered();
}

#[test]
fn a_session_whose_script_still_runs_is_not_ended_by_another_call() {
    let scripts = Scripts::new();
    scripts.put(
        "removed/10W-a",
        &format!(
            "[ -e $top/calm ] || {{ echo $$ >$top/pid; while [ ! -e $top/calm ]; do sleep 0.01; \
                  done; }}; {RESULT}"
        ),
    );
    let mut child = scripts.command().spawn().unwrap();
    drop(child.stdin.take());
    let pid = pid_in(&scripts.site.path("pid"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_alive(&pid), "its keeper lives");
    // Another call finds the entry locked, and leaves it alone.
    let running = scripts.start();
    assert_eq!(running.begun, ["OLD=1", "begun"]);
    fs::write(scripts.site.path("calm"), "").unwrap();
    wait_for("the end of the script", || (!is_alive(&pid)).then_some(()));
    running.end();
    wait_for("the end of the first session", || {
        scripts.run();
        scripts.registered().is_empty().then_some(())
    });
    assert!(scripts.log().iter().any(|line| line.ends_with("again")));
}
