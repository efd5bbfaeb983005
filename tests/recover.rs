//! What a killed pilot leaves, and `condor_glexec_pilot recover`, `recover --discard` and
//! `renew-proxy`; and what is reported about a sandbox meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value;
use support::glexec::{Rootless, processes_of};
use support::handover::{handed_over, mode, set_mode, text};
use support::mounts::in_memory;
use support::pilot::{CREDENTIAL, Pilot, family, kept, line, signal, stdout_of};
use support::{
    Account, PROXY, SUBORDINATE, failed, messages, own, program, retained, succeeded, wait_until,
    write,
};

/// Tests with the project's own switcher run one after the other: each has a separate directory of
/// leases, and so all use the same users.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs a pilot whose sandbox has this name and whose payload has made a file, and kills it.
fn killed(pilot: &Pilot, name: &str) {
    let mut child =
        pilot.start(name, &[], "echo result >file; mkdir -m 0 closed; touch ready; exec sleep 60");
    wait_until("the payload is ready", || pilot.sandbox(name).join("ready").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the family has ended", || family(&pilot.sandbox(name)).is_empty());
}

// recover

#[test]
fn recover_brings_the_files_back_to_the_sandbox_without_the_credential() {
    let pilot = Pilot::new();
    killed(&pilot, "s");
    let sandbox = pilot.sandbox("s");
    assert_ne!(fs::metadata(&sandbox).unwrap().uid(), Account::batch().uid);
    for _ in 0..2 {
        succeeded(&pilot.of("recover", &[], "s").output().unwrap());
        assert_eq!(pilot.site.entries(), ["s"]);
        assert_eq!(fs::metadata(sandbox.join("file")).unwrap().uid(), Account::batch().uid);
        assert_eq!(
            (text(sandbox.join("file")).as_str(), mode(&sandbox.join("closed"))),
            ("result\n", 0o700)
        );
        assert!(!sandbox.join(CREDENTIAL).exists());
    }
}

#[test]
fn no_lock_of_another_user_keeps_files_from_coming_back() {
    let pilot = Pilot::new();
    let script = "chmod 755 .; echo result >file; touch ready; exec sleep 60";
    let (sandbox, mut child) = (pilot.sandbox("s"), pilot.start("s", &[], script));
    wait_until("the payload is ready", || sandbox.join("ready").exists());
    let flock = |words: &[&str]| {
        let mut flock = Account::other().command("/usr/bin/flock");
        flock.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        flock
    };
    // Where the owner was changed, the directory is the pilot's own, and locked until it ends.
    let path = sandbox.to_str().unwrap();
    let mut bystander = flock(&[path, "sh", "-c", "echo locked; exec sleep 60"]).spawn().unwrap();
    wait_until("it has the directory open", || {
        let open = format!("/proc/{}/fd/3", bystander.id());
        std::fs::read_link(open).is_ok_and(|open| open == sandbox)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let mut word = [0; 7];
    bystander.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
    wait_until("the family has ended", || family(&sandbox).is_empty());
    for _ in 0..2 {
        succeeded(&pilot.of("recover", &[], "s").output().unwrap());
        assert_eq!((text(sandbox.join("file")).as_str(), mode(&sandbox)), ("result\n", 0o700));
        // No other user can lock what is back.
        assert!(
            messages(&flock(&["-n", path, "true"]).output().unwrap()).contains("Permission denied")
        );
    }
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn a_full_disk_keeps_no_file_from_an_output_on_another_file_system() {
    let pilot = Pilot::new();
    let _mounts = in_memory(&pilot.site, "size=12m");
    let (output, large) =
        (pilot.output(), "head -c 8000000 /dev/urandom >large; sha256sum <large >sum");
    let is_whole = || {
        let sum = std::process::Command::new("sh")
            .args(["-c", "sha256sum <large"])
            .current_dir(&output)
            .output()
            .unwrap();
        sum.stdout == fs::read(output.join("sum")).unwrap() && !output.join("proxy").exists()
    };
    let mut run = pilot.run_named("first");
    run.arg("--output").arg(&output).args(["--", "sh", "-c", large]);
    succeeded(&run.output().unwrap());
    assert!(is_whole());
    pilot.is_empty("after run");
    fs::remove_dir_all(&output).unwrap();
    let mut child = pilot.start("s", &[], &format!("{large}; touch ready; exec sleep 60"));
    wait_until("the payload is ready", || pilot.sandbox("s").join("ready").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the family has ended", || family(&pilot.sandbox("s")).is_empty());
    let mut copy = pilot.of("recover", &[], "s");
    let full = copy.env("GLEXEC_HELPERS_HANDOVER", "copy").output().unwrap();
    assert!(!full.status.success() && messages(&full).contains("; free "), "{}", messages(&full));
    let mut recover = pilot.of("recover", &["--output", &output.display().to_string()], "s");
    succeeded(&recover.env("GLEXEC_HELPERS_HANDOVER", "copy").output().unwrap());
    assert!(is_whole());
    pilot.is_empty("after recover");
}

#[test]
fn recover_brings_back_what_a_starter_has_left_with_its_proxy() {
    let pilot = Pilot::new();
    let sandbox = handed_over(&pilot.site, "s");
    succeeded(&pilot.of("recover", &[], "s").output().unwrap());
    assert_eq!(
        (text(sandbox.join("input")).as_str(), text(sandbox.join(PROXY)).as_str()),
        ("the input", "the proxy\n")
    );
}

#[test]
fn recover_brings_back_what_a_cleanup_of_a_starters_has_left_that_was_killed_after_its_commit() {
    let pilot = Pilot::new();
    let sandbox = handed_over(&pilot.site, "s");
    // The state at that point: the data is complete, the job's directory still has the name, the
    // retained directory has a temporary name.
    fs::rename(retained(&sandbox), pilot.sandbox("s.gh.0123abcd")).unwrap();
    let data = retained(&sandbox);
    fs::create_dir(&data).unwrap();
    write(data.join("result"), "the result", 0o644);
    write(data.join(PROXY), "the proxy\n", 0o600);
    own(&data, Account::batch());
    succeeded(&pilot.of("recover", &[], "s").output().unwrap());
    assert_eq!(pilot.site.entries(), ["s"]);
    assert_eq!(
        (text(sandbox.join("result")).as_str(), text(sandbox.join(PROXY)).as_str()),
        ("the result", "the proxy\n")
    );
}

#[test]
fn what_a_pilot_had_begun_to_make_is_removed_unless_it_lives() {
    let pilot = Pilot::new();
    let begun = pilot.sandbox("s.gh.0123abcd");
    for options in [&[][..], &["--discard"]] {
        fs::create_dir(&begun).unwrap();
        Account::batch().owns(&begun);
        let lock = nix::fcntl::Flock::lock(
            fs::File::open(&begun).unwrap(),
            nix::fcntl::FlockArg::LockExclusive,
        );
        let refused = pilot.of("recover", options, "s").output().unwrap();
        failed(&refused, 1, &["s.gh.0123abcd", "a running pilot works on it"]);
        assert!(begun.exists());
        drop(lock);
        failed(
            &pilot.of("recover", options, "s").output().unwrap(),
            1,
            &["there is no such sandbox"],
        );
        pilot.is_empty("after it");
    }
}

#[test]
fn recover_does_not_touch_what_a_running_pilot_works_on() {
    let pilot = Pilot::new();
    let child = pilot.start("s", &[], "exec sleep 60");
    for options in [&[][..], &["--discard"]] {
        failed(
            &pilot.of("recover", options, "s").output().unwrap(),
            1,
            &["a running pilot works on it"],
        );
    }
    assert!(!family(&pilot.sandbox("s")).is_empty());
    signal(&child, Signal::SIGTERM);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
}

#[test]
fn recover_finishes_an_output_that_has_been_delivered_but_for_the_credential() {
    let pilot = Pilot::new();
    fs::create_dir(pilot.output()).unwrap();
    write(pilot.output().join(CREDENTIAL), "a token", 0o600);
    write(pilot.output().join("file"), "result", 0o644);
    own(&pilot.output(), Account::batch());
    let output = pilot.output().display().to_string();
    succeeded(&pilot.of("recover", &["--output", &output], "s").output().unwrap());
    assert!(!pilot.output().join(CREDENTIAL).exists() && pilot.output().join("file").exists());
    failed(
        &pilot.of("recover", &["--output", &output], "s").output().unwrap(),
        1,
        &["there is no such sandbox"],
    );
}

#[test]
fn recover_says_in_one_line_why_it_cannot() {
    let pilot = Pilot::new();
    failed(
        &pilot.of("recover", &[], "none").output().unwrap(),
        1,
        &["none", "there is no such sandbox"],
    );
    killed(&pilot, "s");
    let mut call = pilot.of("recover", &[], "s");
    pilot.site.map_to_another_user(&mut call);
    failed(&call.output().unwrap(), 1, &["there is no switcher that leads to uid"]);
    failed(&pilot.call("recover").output().unwrap(), 240, &["usage: condor_glexec_pilot recover"]);
    failed(
        &pilot.call("recover").arg("relative").output().unwrap(),
        240,
        &["relative", "absolute"],
    );
    assert!(retained(&pilot.sandbox("s")).exists(), "nothing was changed");
}

#[test]
fn a_pilot_that_is_killed_before_its_payload_begins_leaves_no_payload() {
    let pilot = Pilot::new();
    let begun = pilot.site.path().join("begun");
    set_mode(pilot.site.path(), 0o777);
    let switcher = pilot.switcher_that(&format!(
        "case $2 in enter) touch {0}; while [ -e {0} ]; do sleep 0.02; done ;; esac",
        begun.display()
    ));
    let mut call = pilot.run_through_any();
    call.arg("--glexec")
        .arg(&switcher)
        .arg("--execute")
        .arg(pilot.site.execute())
        .args(["--name", "s"]);
    let mut child =
        call.args(["--", "sh", "-c", "touch ran"]).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the switcher is called", || begun.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(&begun).unwrap();
    succeeded(&pilot.of("recover", &[], "s").output().unwrap());
    assert!(!pilot.sandbox("s").join("ran").exists());
}

// A payload that cannot prevent its end.

#[test]
fn a_payload_that_kills_all_of_its_account_does_not_outlive_its_pilot_below_glexec() {
    let _alone = alone();
    let rootless = Rootless::new();
    let pilot = Pilot { site: rootless.site };
    let mut call = pilot.run_through_any();
    call.arg("--glexec")
        .arg(program("glexec"))
        .arg("--execute")
        .arg(pilot.site.execute())
        .args(["--name", "s"]);
    // It kills every process that it can see and signal, in a loop.
    let script = "while :; do for pid in $(cd /proc; echo [0-9]*); do
        [ $pid = $$ ] || kill -KILL $pid; done; sleep 0.02; done 2>/dev/null";
    let mut child = pilot.start_by(call, "s", &[], script);
    let user = fs::metadata(pilot.sandbox("s")).unwrap().uid();
    assert!(SUBORDINATE.contains(&user) && !processes_of(user).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("no process of it is left", || processes_of(user).is_empty());
}

#[test]
fn a_payload_that_has_killed_the_agent_that_watches_is_ended_all_the_same() {
    let pilot = Pilot::new();
    // This payload's agent: those of simultaneous tests belong to the same account.
    let script = "agent=\"serve $PWD$|watch [0-9]+ [0-9]+ $PWD.condor$\"; (setsid sleep 65 &); \
        pkill -KILL -f \"$agent\" 2>/dev/null; \
        while pgrep -u $(id -u) -f \"$agent\"; do sleep 0.05; done; touch ready; exec sleep 66";
    let child = pilot.start("s", &[], script);
    wait_until("it is ready", || pilot.sandbox("s").join("ready").exists());
    signal(&child, Signal::SIGTERM);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), messages(&ended).as_str()), (Some(143), ""));
    assert!(family(&pilot.sandbox("s")).is_empty());
    pilot.is_empty("after it");
}

#[test]
fn a_payload_has_a_pid_namespace_of_its_own_whatever_comes_first_below_the_projects_own_switcher() {
    let _alone = alone();
    let rootless = Rootless::new();
    let pilot = Pilot { site: rootless.site };
    let glexec = program("glexec");
    // The process that the guard of a namespace starts is its second process.
    let sees = |switcher: &std::path::Path| {
        let mut call = pilot.run_through_any();
        call.arg("--glexec").arg(switcher).arg("--execute").arg(pilot.site.execute());
        let output = call
            .args(["--", "sh", "-c", "echo $$; set -- /proc/[0-9]*; echo $#"])
            .output()
            .unwrap();
        assert_eq!(messages(&output), "");
        stdout_of(&output)
    };
    let slow = format!("case $2 in enter) sleep 0.5 ;; esac\nexec {} \"$@\"", glexec.display());
    assert_eq!(sees(&pilot.site.script("slow", &slow)), "2\n2\n", "though its call takes long");
    for round in 0..60 {
        assert_eq!(sees(&glexec), "2\n2\n", "round {round}");
    }
}

// recover --discard

#[test]
fn discard_removes_the_sandbox_and_all_beside_it() {
    let pilot = Pilot::new();
    killed(&pilot, "s");
    succeeded(&pilot.of("recover", &["--discard"], "s").output().unwrap());
    pilot.is_empty("after it");
    // A sandbox without its retained directory cannot be brought back.
    killed(&pilot, "lost");
    let credential = kept(&pilot.sandbox("lost"));
    fs::remove_dir_all(retained(&pilot.sandbox("lost"))).unwrap();
    assert!(!credential.exists());
    failed(&pilot.of("recover", &[], "lost").output().unwrap(), 1, &["lost"]);
    succeeded(&pilot.of("recover", &["--discard"], "lost").output().unwrap());
    pilot.is_empty("after it");
}

#[test]
fn discard_removes_what_a_user_has_left_whose_lease_has_ended() {
    let _alone = alone();
    let rootless = Rootless::new();
    let pilot = Pilot { site: rootless.site };
    let left = pilot.site.execute().join("s.gh.0123abcd");
    fs::create_dir(&left).unwrap();
    write(left.join("file"), "content", 0o600);
    let user = SUBORDINATE.start + 7;
    own(&left, Account { uid: user, gid: user });
    let mut call = pilot.call("recover");
    call.args(["--discard", "--glexec"]).arg(program("glexec")).arg(pilot.sandbox("s"));
    succeeded(&call.output().unwrap());
    pilot.is_empty("after it");
}

#[test]
fn another_users_entry_beside_it_does_not_keep_a_sandbox_from_being_discarded() {
    let pilot = Pilot::new();
    killed(&pilot, "s");
    let beside = pilot.site.execute().join("s.gh.00000000");
    fs::create_dir(&beside).unwrap();
    Account::other().owns(&beside);
    let output = pilot.of("recover", &["--discard"], "s").output().unwrap();
    failed(&output, 0, &["what uid", &Account::other().uid.to_string(), "stays"]);
    assert_eq!(pilot.site.entries(), ["s.gh.00000000"]);
}

#[test]
fn nothing_is_done_to_what_is_no_sandbox() {
    let pilot = Pilot::new();
    let new = pilot.credential("new");
    for name in ["plain", "other.condor"] {
        let directory = pilot.sandbox(name);
        fs::create_dir(&directory).unwrap();
        write(directory.join("precious"), "data", 0o644);
        own(&directory, Account::batch());
    }
    let output = pilot.output().display().to_string();
    for name in ["plain", "other"] {
        for options in [&["--discard"][..], &["--output", &output]] {
            let refused = pilot.of("recover", options, name).output().unwrap();
            failed(&refused, 1, &[name, "an ordinary directory"]);
        }
        failed(
            &pilot.of("renew-proxy", &[], name).arg(&new).output().unwrap(),
            1,
            &[name, "no credential to be replaced"],
        );
    }
    assert_eq!(pilot.site.entries(), ["other.condor", "plain"]);
    for name in ["plain", "other.condor"] {
        assert_eq!(fs::read_dir(pilot.sandbox(name)).unwrap().count(), 1);
    }
}

#[test]
fn discard_leaves_alone_what_is_no_sandbox() {
    let pilot = Pilot::new();
    let directory = pilot.sandbox("mine");
    fs::create_dir(&directory).unwrap();
    write(directory.join("precious"), "data", 0o644);
    own(&directory, Account::batch());
    failed(
        &pilot.of("recover", &["--discard"], "mine").output().unwrap(),
        1,
        &["an ordinary directory"],
    );
    assert_eq!(text(directory.join("precious")), "data");
    let theirs = pilot.sandbox("theirs");
    fs::create_dir(&theirs).unwrap();
    Account::other().owns(&theirs);
    failed(&pilot.of("recover", &["--discard"], "theirs").output().unwrap(), 1, &["theirs"]);
    assert!(theirs.exists());
    assert_eq!(pilot.site.entries(), ["mine", "theirs"], "nothing else is left");
}

// renew-proxy

#[test]
fn renew_proxy_replaces_the_payloads_proxy_and_the_switchers_credential_each_where_it_is_named() {
    let pilot = Pilot::new();
    let first = pilot.credential("first").display().to_string();
    let credential = pilot.credential_named("for-switcher", "old").display().to_string();
    let script = "until grep -q third \"$X509_USER_PROXY\"; do
        cat \"$X509_USER_PROXY\" >seen.new; mv seen.new seen; sleep 0.02; done
        cat \"$X509_USER_PROXY\"";
    let child = pilot.start("s", &["--proxy", &first, "--credential", &credential], script);
    let sandbox = pilot.sandbox("s");
    let of_payload = || fs::read_to_string(sandbox.join("seen")).unwrap_or_default();
    let renew = |options: &[&str], proxy: Option<&std::path::Path>| {
        succeeded(&pilot.of("renew-proxy", options, "s").args(proxy).output().unwrap());
    };
    let new = pilot.credential_named("new", "second");
    renew(&[], Some(&new));
    wait_until("the payload has it", || of_payload() == "second");
    assert_eq!(
        (text(kept(&sandbox)).as_str(), text(&new).as_str()),
        ("old", "second"),
        "it stays where it is"
    );
    let newer = pilot.credential_named("newer", "newer").display().to_string();
    renew(&["--credential", &newer], None);
    assert_eq!((text(kept(&sandbox)).as_str(), of_payload().as_str()), ("newer", "second"));
    let (newest, third) =
        (pilot.credential_named("newest", "newest"), pilot.credential_named("third", "third"));
    renew(&["--credential", &newest.display().to_string()], Some(&third));
    assert_eq!(text(kept(&sandbox)), "newest");
    let ended = child.wait_with_output().unwrap();
    assert_eq!((stdout_of(&ended).as_str(), ended.status.code()), ("third", Some(0)));
    failed(
        &pilot.of("renew-proxy", &[], "s").output().unwrap(),
        240,
        &["usage: condor_glexec_pilot renew-proxy"],
    );
    let mut late = pilot.of("renew-proxy", &[], "s");
    failed(&late.arg(&new).output().unwrap(), 1, &["s"]);
}

// Messages and logs.

#[test]
fn all_programs_log_the_same_id_for_a_sandbox() {
    let pilot = Pilot::new();
    let log = pilot.site.scratch().join("log");
    let mut call = pilot.run_named("s");
    call.env("GLEXEC_HELPERS_LOG", &log).args(["--timeout", "1", "--", "sleep", "60"]);
    assert_eq!(call.output().unwrap().status.code(), Some(143));
    let sandbox = pilot.site.sandbox("t");
    let logged = |name: &str| {
        let mut call = pilot.site.helper(name);
        call.env("GLEXEC_HELPERS_LOG", &log);
        call
    };
    let about = |name: &str| {
        let mut call = logged(name);
        call.arg(pilot.site.switcher()).arg(PROXY).arg(&sandbox);
        call
    };
    succeeded(&about("condor_glexec_setup").args(["0", "0"]).output().unwrap());
    about("condor_glexec_run")
        .args(["/nonexistent", "-", "-", "-", "x"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut kill = logged("condor_glexec_kill");
    kill.arg("--sandbox").arg(pilot.site.switcher()).arg(retained(&sandbox).join(PROXY));
    kill.args(["-", "KILL", "0", "0"]).output().unwrap();
    succeeded(&about("condor_glexec_cleanup").args(["0", "0"]).output().unwrap());
    let lines: Vec<Value> =
        text(&log).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        for field in ["time", "helper", "pid", "milliseconds", "outcome", "sandbox"] {
            assert!(!line[field].is_null(), "{field}: {line}");
        }
        assert_eq!(line["status"].is_null(), line["outcome"] == "started", "{line}");
    }
    let of = |name: &str| {
        let path = pilot.sandbox(name).display().to_string();
        lines.iter().filter(move |line| line["sandbox"] == *path).collect::<Vec<_>>()
    };
    let ids = |name: &str| {
        of(name)
            .iter()
            .filter_map(|line| line["id"].as_str())
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!((ids("s").len(), ids("t").len()), (1, 1), "{lines:#?}");
    assert_ne!(ids("s"), ids("t"));
    let steps: Vec<&str> = of("s").iter().filter_map(|line| line["step"].as_str()).collect();
    assert_eq!(steps, ["input", "setup", "kill", "kill", "run", "cleanup"]);
    let helpers = of("t")
        .into_iter()
        .filter_map(|line| line["helper"].as_str())
        .filter(|name| *name != "glexec");
    assert_eq!(
        helpers.collect::<Vec<_>>(),
        ["condor_glexec_setup", "condor_glexec_run", "condor_glexec_kill", "condor_glexec_cleanup"]
    );
}

#[test]
fn control_characters_do_not_get_into_the_log() {
    let pilot = Pilot::new();
    let log = pilot.site.scratch().join("log");
    let mut call = pilot.run_named("a\nb\u{1b}[2J");
    call.env("GLEXEC_HELPERS_LOG", &log).env("GLEXEC_ID", "one\ntwo\u{7}");
    succeeded(&call.args(["--", "true"]).output().unwrap());
    let log = fs::read(&log).unwrap();
    assert!(
        log.iter().all(|byte| *byte == b'\n' || !byte.is_ascii_control()),
        "{}",
        String::from_utf8_lossy(&log)
    );
    for line in log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(line["id"].as_str().unwrap_or("one\\ntwo\\u{7}"), "one\\ntwo\\u{7}");
    }
}

#[test]
fn a_transfer_that_takes_long_shows_its_progress_on_a_terminal_and_nowhere_else() {
    let pilot = Pilot::new();
    // The first bytes move long after the step has begun.
    let switcher = pilot.switcher_that("case $2 in serve) sleep 1.2 ;; esac");
    let input = pilot.input(|top| write(top.join("file"), "x".repeat(5000), 0o644));
    let mut call = pilot.run_through_any();
    call.arg("--glexec")
        .arg(switcher)
        .arg("--execute")
        .arg(pilot.site.execute())
        .arg("--input")
        .arg(&input);
    succeeded(&call.args(["--", "true"]).output().unwrap());
    // script(1) makes the terminal.
    let mut command = Account::batch().command("script");
    command
        .args(["-qec", &line(&call), "/dev/null"])
        .env_clear()
        .envs(support::variables_of(&call));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(stdout_of(&output).contains("setup: 5.0 kB of 5.0 kB, "), "{}", stdout_of(&output));
    assert!(
        stdout_of(&output).ends_with("\r\u{1b}[K"),
        "the line is cleared: {:?}",
        stdout_of(&output)
    );
}

#[test]
fn messages_of_a_payload_are_passed_on_while_it_runs() {
    let pilot = Pilot::new();
    let mut child = pilot.start("s", &[], "echo early; read -r line <nothing || exec sleep 60");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "early\n");
    signal(&child, Signal::SIGTERM);
    child.wait().unwrap();
}
