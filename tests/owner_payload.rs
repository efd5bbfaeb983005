//! `glexec --hand-over`: a payload has a directory while it runs. As the batch user, with its real
//! subordinate ids.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::glexec::processes_of;
use support::handover::{assert_owner, mode, set_mode, text};
use support::owner::inode;
use support::owner_calls::Calls;
use support::snapshot::{Snapshot, snapshot};
use support::{Account, failed, messages, own, wait_until, write};

/// Runs a shell script as the payload, which has the directory; it ends with this status.
fn run(calls: &Calls, top: &Path, options: &[&str], script: &str, status: i32) {
    let output = calls.handing(top, options, &["/bin/sh", "-c", script]).output().unwrap();
    assert_eq!((output.status.code(), messages(&output).as_str()), (Some(status), ""), "{script}");
}

/// What the reports of a call are about.
fn operations(calls: &Calls) -> Vec<String> {
    calls.reports().iter().map(|line| line["operation"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_payload_has_the_directory_while_it_runs_and_it_comes_back() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let inodes = [inode(&top), inode(&top.join("input"))];
    let mut expected = snapshot(&top);
    let script = format!(
        "cd {} && stat -c %u . input below below/closed | sort -u && echo more >>input && \
         id -u && exit 7",
        top.display()
    );
    let output = calls.handing(&top, &[], &["/bin/sh", "-c", &script]).output().unwrap();
    assert_eq!((output.status.code(), messages(&output).as_str()), (Some(7), ""));
    let user = calls.user.uid;
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{user}\n{user}\n"));
    calls.is_whole(&top, Account::batch(), &["tree"]);
    assert_eq!([inode(&top), inode(&top.join("input"))], inodes);
    assert_eq!(text(top.join("input")), "the inputmore\n");
    let mut found = snapshot(&top);
    // The owner of what comes back can write to it.
    expected.get_mut(Path::new("below/closed")).unwrap().mode = 0o600;
    for name in ["input", "below/linked"] {
        found.insert(name.into(), expected[Path::new(name)].clone());
    }
    assert_eq!(found, expected);
    assert_eq!(operations(&calls), ["give", "end", "take"]);
    let [give, end, take] = &calls.reports()[..] else { panic!() };
    assert_eq!((give["files"].as_u64(), give["uid"].as_u64()), (Some(4), Some(user.into())));
    assert_eq!((&end["killed"], &end["payload_end"]), (&0.into(), &"exited 7".into()));
    assert_eq!((take["files"].as_u64(), take["hard_links"].as_u64()), (Some(3), Some(1)));
}

#[test]
fn what_the_payload_leaves_running_is_killed_before_the_directory_comes_back() {
    let calls = Calls::new();
    let top = calls.empty("tree");
    let script = format!(
        "cd {} && for i in 1 2 3; do \
         setsid sh -c 'exec 9>>log$0; while echo x >&9; do :; done' $i & \
         done; while ! test -s log1 -a -s log2 -a -s log3; do :; done",
        top.display()
    );
    run(&calls, &top, &[], &script, 0);
    assert!(processes_of(calls.user.uid).is_empty());
    calls.is_whole(&top, Account::batch(), &["tree"]);
    let [_, end, take] = &calls.reports()[..] else { panic!() };
    assert_eq!(end["killed"], 3);
    assert_eq!((take["files"].as_u64(), take["copied"]["written"].as_u64()), (Some(3), Some(0)));
}

#[test]
fn a_payload_that_a_signal_kills_gives_the_directory_back() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    run(&calls, &top, &[], "kill -9 $$", 137);
    calls.is_whole(&top, Account::batch(), &["tree"]);
}

#[test]
fn a_payload_that_removes_its_directory_is_reported_and_keeps_its_status() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    run(&calls, &top, &[], &format!("rm -rf {}; exit 3", top.display()), 3);
    assert!(calls.rootless.site.entries().is_empty());
    let [.., take] = &calls.reports()[..] else { panic!() };
    assert_eq!(
        (take["operation"].as_str(), take["unchanged"].as_bool()),
        (Some("take"), Some(true))
    );
    assert!(take["error"].as_str().unwrap().contains("does not exist"), "{take}");
}

#[test]
fn links_that_lead_out_come_back_as_the_policy_says() {
    let calls = Calls::new();
    let open = calls.rootless.site.scratch().join("open");
    write(&open, "copied", 0o644);
    for (policy, kind) in [("copy", "file"), ("keep", "link"), ("drop", "")] {
        let top = calls.empty("tree");
        let script = format!("ln -s {} {}/out", open.display(), top.display());
        run(&calls, &top, &["--links", policy], &script, 0);
        calls.is_whole(&top, Account::batch(), &["tree"]);
        let found = fs::symlink_metadata(top.join("out"));
        let found = found.map_or("", |found| if found.is_symlink() { "link" } else { "file" });
        assert_eq!(found, kind, "{policy}");
        fs::remove_dir_all(&top).unwrap();
    }
}

#[test]
fn a_directory_that_has_to_be_copied_is_refused_and_nothing_runs() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    Account::other().owns(top.join("input"));
    let (before, marker) = (snapshot(&top), calls.path("ran"));
    let touch = format!("touch {}", marker.display());
    let output = calls.handing(&top, &[], &["/bin/sh", "-c", &touch]).output().unwrap();
    failed(&output, 205, &["neither the batch user's nor the job user's"]);
    assert!(calls.reports().is_empty() && !marker.exists());
    assert_eq!(snapshot(&top), before);
    assert_eq!(mode(&top), 0o751);
}

#[test]
fn a_directory_that_cannot_be_taken_back_stays_the_payloads_and_the_report_says_why() {
    let calls = Calls::new();
    let top = calls.empty("tree");
    run(&calls, &top, &[], &format!("chmod 777 {}; exit 5", top.display()), 5);
    assert_eq!((Account::of(&top), mode(&top)), (calls.user, 0o777));
    let [.., take] = &calls.reports()[..] else { panic!() };
    assert_eq!(take["unchanged"], true);
    assert!(take["error"].as_str().unwrap().contains("may write to this directory"), "{take}");
    calls.rootless.says(&format!("chmod 700 {}", top.display()));
    calls.done(&[("--take", &top)], &[]);
    calls.is_whole(&top, Account::batch(), &["tree"]);
}

#[test]
fn a_payload_that_cannot_be_executed_leaves_the_directory_as_it_was() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let before = snapshot(&top);
    let output = calls.handing(&top, &[], &["/no/such/program"]).output().unwrap();
    failed(&output, 201, &["cannot execute /no/such/program"]);
    calls.is_whole(&top, Account::batch(), &["tree"]);
    assert_eq!(snapshot(&top), before);
    assert_eq!(operations(&calls), ["give"]);
}

#[test]
fn other_calls_join_the_lease_while_the_payload_runs_and_end_with_it() {
    let calls = Calls::new();
    let top = calls.empty("tree");
    let script = format!("cd {} && touch begun && while test -e begun; do :; done", top.display());
    let mut child = calls.handing(&top, &[], &["/bin/sh", "-c", &script]).spawn().unwrap();
    wait_until("the payload runs", || top.join("begun").exists());
    // A payload cannot be handed anything beside it.
    let other = calls.empty("other");
    let output = calls.handing(&other, &[], &["/bin/true"]).output().unwrap();
    failed(&output, 205, &["is alive"]);
    let id = calls.rootless.says("id -u");
    assert_eq!(id, calls.user.uid.to_string());
    let mut beside = calls.rootless.glexec();
    let mut beside = beside.args(["/bin/sh", "-c", "sleep 1000"]).spawn().unwrap();
    wait_until("another payload runs", || processes_of(calls.user.uid).len() > 2);
    let remove = format!("rm {}", top.join("begun").display());
    calls.rootless.says(&remove);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(beside.wait().unwrap().code(), Some(137));
    assert!(processes_of(calls.user.uid).is_empty());
    calls.is_whole(&top, Account::batch(), &["other", "tree"]);
}

#[test]
fn a_call_that_is_killed_ends_the_payload_and_the_directory_can_be_taken() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let script = format!("cd {} && touch begun && exec sleep 1000", top.display());
    let mut child = calls.handing(&top, &[], &["/bin/sh", "-c", &script]).spawn().unwrap();
    wait_until("the payload runs", || top.join("begun").exists());
    support::owner_calls::send(&child, nix::sys::signal::SIGKILL);
    child.wait().unwrap();
    wait_until("the payload has ended", || processes_of(calls.user.uid).is_empty());
    assert_owner(&top, calls.user);
    wait_until("the lease is free", || calls.is_idle());
    calls.done(&[("--take", &top)], &[]);
    calls.is_whole(&top, Account::batch(), &["tree"]);
}

/// A directory that a payload of [`PAYLOAD`] gets, with what it has in the end.
fn prepared(calls: &Calls) -> (PathBuf, [String; 2]) {
    let top = calls.empty("tree");
    for name in ["one", "two"] {
        fs::create_dir(top.join(name)).unwrap();
        write(top.join(name).join("file"), name, 0o644);
    }
    own(&top, Account::batch());
    set_mode(&top, 0o751);
    (top, ["one".to_owned(), "one+".to_owned()])
}

/// What the payload does in its directory.
const PAYLOAD: &str =
    "printf + >>one/file; mkfifo two/fifo; ln -s /etc/passwd out; chmod 4711 two/file";

/// Brings a directory back in the direction that it tells itself, as `recover` does.
fn recover(calls: &Calls, top: &Path) {
    let (owner, bits) = (Account::of(top), mode(top));
    if owner == Account::batch() && bits == 0o1700 {
        calls.done(&[("--undo", top)], &[]);
        assert!(!top.join("out").exists(), "a payload has had it");
    } else if owner == calls.user || owners_of(top).len() > 1 {
        calls.done(&[("--take", top)], &[]);
    }
    calls.sweep();
    calls.is_whole(top, Account::batch(), &["tree"]);
}

fn owners_of(top: &Path) -> BTreeSet<u32> {
    snapshot(top).keys().map(|below| Account::of(&top.join(below)).uid).collect()
}

#[test]
fn a_hand_over_that_is_killed_at_any_change_loses_nothing_and_tells_its_direction() {
    let calls = Calls::new();
    let mut tried = 0;
    for call in ["fchown", "fchownat", "fchmod", "unlinkat", "renameat2", "mkdirat"] {
        for number in 1..=8 {
            let (top, contents) = prepared(&calls);
            let script = format!("cd {} && {PAYLOAD}", top.display());
            let command = calls.handing(&top, &[], &["/bin/sh", "-c", &script]);
            let what = format!("signal=SIGKILL:when={number}");
            let (log, _) = calls.injected(&command, call, &what);
            tried += u32::from(log.contains("killed by SIGKILL"));
            wait_until("the lease is free", || calls.is_idle());
            let is_given = top.join("out").symlink_metadata().is_ok();
            recover(&calls, &top);
            let found = text(top.join("one/file"));
            assert!(contents.contains(&found), "{call} {number}: {found}");
            assert_eq!(text(top.join("two/file")), "two");
            assert!(!top.join("two/fifo").exists(), "{call} {number}");
            assert_eq!(mode(&top.join("two/file")) & 0o7000, 0, "{call} {number}");
            assert!(!is_given || found == "one+", "{call} {number}");
            fs::remove_dir_all(&top).unwrap();
        }
    }
    assert!(tried > 15, "{tried}");
}

/// A call whose payload would leave a mark, and in which a system call fails. Returns what strace
/// has seen, and the call's output; it must have failed if the payload has not run.
fn failing(calls: &Calls, top: &Path, call: &str, when: &str) -> (String, Output) {
    let script = format!("touch {}", top.join("ran").display());
    let command = calls.handing(top, &[], &["/bin/sh", "-c", &script]);
    let (log, output) = calls.injected(&command, call, &format!("error=EIO:when={when}"));
    if calls.reports().is_empty() {
        // A file system that seems to grant no leases means a copy, and nothing was changed.
        let is_copied = messages(&output).contains("grants no leases");
        failed(&output, if is_copied { 205 } else { 202 }, &["I/O error"]);
        assert!(!top.join("ran").exists(), "{call} {when}");
    }
    (log, output)
}

/// Fails unless a call has said that it could not undo what it did, and `--undo` then restores the
/// directory, all but its mode.
fn undone_afterwards(calls: &Calls, top: &Path, before: &Snapshot, output: &Output) {
    let said = messages(output);
    assert!(said.contains("; and then: ") && said.contains("glexec --undo finishes it"), "{said}");
    calls.done(&[("--undo", top)], &[]);
    calls.is_whole(top, Account::batch(), &["tree"]);
    assert_eq!(mode(top), 0o700, "{said}");
    set_mode(top, 0o751);
    assert_eq!(&snapshot(top), before, "{said}");
}

#[test]
fn a_hand_over_in_which_a_call_fails_before_the_payload_is_undone() {
    let calls = Calls::new();
    let mut tried = 0;
    for call in ["fchown", "fchownat", "fchmod"] {
        for number in 1..=3 {
            let (top, _) = prepared(&calls);
            let before = snapshot(&top);
            let (log, output) = failing(&calls, &top, call, &number.to_string());
            let ran = calls.reports().iter().any(|line| line["operation"] == "end");
            tried += u32::from(log.contains("INJECTED") && !ran);
            if ran {
                recover(&calls, &top);
            } else if messages(&output).contains("; and then: ") {
                // Two threads give: one fails, and then the other one, which undoes, fails too.
                undone_afterwards(&calls, &top, &before, &output);
            } else {
                let is_refused = output.status.code() == Some(205);
                let said = messages(&output);
                assert!(is_refused || said.contains("it is as it was before"), "{said}");
                calls.is_whole(&top, Account::batch(), &["tree"]);
                assert_eq!(snapshot(&top), before, "{call} {number}");
            }
            fs::remove_dir_all(&top).unwrap();
        }
    }
    assert!(tried > 4, "{tried}");
}

#[test]
fn a_hand_over_that_can_be_neither_completed_nor_undone_says_what_restores_the_directory() {
    let calls = Calls::new();
    // The calls before close the top; of the second one, the owner of the top is changed then.
    for (call, when, owner) in [("fchown", "2+", Account::batch()), ("fchmod", "2+", calls.user)] {
        let (top, _) = prepared(&calls);
        let before = snapshot(&top);
        let (_, output) = failing(&calls, &top, call, when);
        assert_eq!((Account::of(&top), mode(&top)), (owner, 0o1700), "{}", messages(&output));
        undone_afterwards(&calls, &top, &before, &output);
        fs::remove_dir_all(&top).unwrap();
    }
}

#[test]
fn a_call_without_what_it_needs_is_a_usage_error() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let before = snapshot(&top);
    let top_text = top.to_str().unwrap();
    for (words, why) in [
        (&["--hand-over", top_text, "--", "/bin/true"][..], "--report"),
        (&["--hand-over", top_text, "--report", "1", "--", "/bin/true"], "open descriptor"),
        (&["--hand-over", top_text, "--report", "77", "--", "/bin/true"], "open descriptor"),
        (&["--hand-over", top_text, "--report", "x", "--", "/bin/true"], "open descriptor"),
        (&["--give", top_text, "--", "/bin/true"], "a command cannot be given"),
        (&["--give", top_text, "--report", "3"], "--report cannot be given together with --give"),
    ] {
        calls.refused(201, &[], words, &[why]);
    }
    for (options, why) in [
        (&["--end"][..], "--end cannot be given together with --hand-over"),
        (&["--links", "move"], "copy, keep or drop"),
    ] {
        failed(&calls.handing(&top, options, &["/bin/true"]).output().unwrap(), 201, &[why]);
    }
    failed(&calls.handing(&top, &[], &[]).output().unwrap(), 201, &["no command"]);
    let inside = top.join("below");
    let missing = calls.path("missing");
    failed(&calls.handing(&missing, &[], &["/bin/true"]).output().unwrap(), 201, &["not exist"]);
    set_mode(&inside, 0o755);
    set_mode(&top, 0o751);
    assert_eq!(snapshot(&top), before);
    calls.is_whole(&top, Account::batch(), &["tree"]);
}
