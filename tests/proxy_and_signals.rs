//! update_proxy and kill, with real accounts and the real sudo adapter.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use support::families::{Target, marked_with, state};
use support::handover::{
    UPDATE, assert_is_handed_over, filled, handed_over, holds, kill, new_proxy, set_mode, text,
    update,
};
use support::job::run;
use support::snapshot::snapshot;
use support::starter::Starter;
use support::{
    Account, PROXY, Site, failed, messages, own, retained, stays_above, succeeded, wait_until,
    write,
};

// update_proxy.

#[test]
fn update_proxy_replaces_both_copies_at_once() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let copies = [(sandbox.clone(), Account::job()), (retained(&sandbox), Account::batch())];
    let mut readers =
        copies.each_ref().map(|(directory, _)| File::open(directory.join(PROXY)).unwrap());
    succeeded(
        &update(&site, &site.switcher(), &new_proxy(&site, "renewed"), &sandbox).output().unwrap(),
    );
    for (directory, account) in &copies {
        holds(directory, "renewed", *account);
    }
    for reader in &mut readers {
        let mut seen = String::new();
        reader.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "the proxy\n", "a process that opened the old proxy reads the old one");
    }
    assert_is_handed_over(&site, &sandbox, "after update_proxy");
}

#[test]
fn update_proxy_takes_a_new_proxy_from_another_file_system() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let new = memory.path().join("new");
    write(&new, "from memory", 0o600);
    own(memory.path(), Account::batch());
    assert_ne!(
        fs::metadata(&new).unwrap().dev(),
        fs::metadata(&sandbox).unwrap().dev(),
        "another file system"
    );
    succeeded(&update(&site, &site.switcher(), &new, &sandbox).output().unwrap());
    holds(&sandbox, "from memory", Account::job());
    holds(&retained(&sandbox), "from memory", Account::batch());
    assert!(!new.exists());
}

#[test]
fn update_proxy_writes_through_no_link_that_the_job_made() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let (of_job, of_batch) = (sandbox.join("input"), site.scratch().join("precious"));
    write(&of_batch, "precious", 0o666);
    for target in [of_job.clone(), of_batch.clone(), retained(&sandbox).join(PROXY)] {
        fs::remove_file(sandbox.join(PROXY)).unwrap();
        symlink(&target, sandbox.join(PROXY)).unwrap();
        Account::job().owns(sandbox.join(PROXY));
        succeeded(
            &update(&site, &site.switcher(), &new_proxy(&site, "renewed"), &sandbox)
                .output()
                .unwrap(),
        );
        holds(&sandbox, "renewed", Account::job());
        holds(&retained(&sandbox), "renewed", Account::batch());
    }
    assert_eq!((text(&of_job).as_str(), text(&of_batch).as_str()), ("the input", "precious"));
    assert_is_handed_over(&site, &sandbox, "after update_proxy");
}

#[test]
fn update_proxy_renews_the_retained_proxy_though_the_job_put_a_directory_in_place_of_its_own() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    fs::remove_file(sandbox.join(PROXY)).unwrap();
    fs::create_dir(sandbox.join(PROXY)).unwrap();
    write(sandbox.join(PROXY).join("kept"), "kept", 0o644);
    own(&sandbox, Account::job());
    let before = snapshot(&sandbox);
    let new = new_proxy(&site, "renewed");
    failed(
        &update(&site, &site.switcher(), &new, &sandbox).output().unwrap(),
        1,
        &[PROXY, "irectory"],
    );
    holds(&retained(&sandbox), "renewed", Account::batch());
    assert_eq!(snapshot(&sandbox), before);
    assert!(!new.exists());
    assert_is_handed_over(&site, &sandbox, "after update_proxy");
}

#[test]
fn update_proxy_without_a_switcher_renews_the_copy_within_reach() {
    let site = Site::new();
    let (before, during) = (filled(&site, "before"), handed_over(&site, "during"));
    for sandbox in [&before, &during] {
        succeeded(
            &update(&site, Path::new("-"), &new_proxy(&site, "renewed"), sandbox).output().unwrap(),
        );
    }
    holds(&before, "renewed", Account::batch());
    holds(&during, "the proxy\n", Account::job());
    holds(&retained(&during), "renewed", Account::batch());
    assert_eq!(site.entries(), ["before", "during", "during.condor"]);
}

#[test]
fn update_proxy_ends_with_0_or_1_and_consumes_the_new_proxy_but_for_a_usage_error() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let real = site.switcher();
    let fails = |name: &str, body: &str| site.script(name, body);
    let nowhere = site.path().join("nowhere/s");
    let cases: [(&str, PathBuf, &Path, &str, i32); 7] = [
        ("it works", real.clone(), &sandbox, "renewed", 0),
        ("the switcher fails for good", fails("201", "exit 201"), &sandbox, "renewed", 1),
        ("the switcher fails for now", fails("202", "exit 202"), &sandbox, "renewed", 1),
        ("the new proxy is empty", real.clone(), &sandbox, "", 1),
        ("the switcher is missing", site.path().join("missing"), &sandbox, "renewed", 1),
        ("there is no sandbox", real.clone(), &site.execute().join("none"), "renewed", 1),
        ("there is not even its parent", real.clone(), &nowhere, "renewed", 1),
    ];
    let mut wrong = Vec::new();
    for (what, switcher, sandbox, content, status) in cases {
        let new = new_proxy(&site, content);
        let output = update(&site, &switcher, &new, sandbox).output().unwrap();
        if output.status.code() != Some(status) || new.exists() {
            wrong.push(format!(
                "{what}: {:?}, still there: {}, {}",
                output.status.code(),
                new.exists(),
                messages(&output)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_is_handed_over(&site, &sandbox, "after all of them");
    let new = new_proxy(&site, "renewed");
    failed(&site.helper(UPDATE).arg(&real).arg(&new).arg(PROXY).output().unwrap(), 1, &["usage"]);
    assert_eq!(text(&new), "renewed");
}

// kill.

#[test]
fn kill_gets_the_path_of_the_retained_proxy_and_reaches_a_process_of_the_jobs() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let mut target = Target::start(&sandbox);
    succeeded(&kill(&site, &site.switcher(), &sandbox, target.pid, "TERM").output().unwrap());
    assert_eq!(target.killed_by(), 15);
}

#[test]
fn kill_ends_with_1_2_or_3_when_no_signal_was_sent() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let mut job = Target::start(&sandbox);
    for account in [Account::other(), Account::batch()] {
        let mut target = account.command("sleep").arg("60").spawn().unwrap();
        let output = kill(&site, &site.switcher(), &sandbox, target.id(), "KILL").output().unwrap();
        // Our process is not reaped until it is certain that it got no signal.
        target.kill().unwrap();
        target.wait().unwrap();
        failed(&output, 2, &["not the job user's"]);
    }
    // More than the maximum of any kernel.
    let gone = kill(&site, &site.switcher(), &sandbox, 2_147_483_647, "KILL").output().unwrap();
    failed(&gone, 2, &["no such process"]);
    let status = |switcher: &Path, signal: &str| {
        let output = kill(&site, switcher, &sandbox, job.pid, signal).output().unwrap();
        output.status.code()
    };
    assert_eq!(status(&site.switcher(), "NONSENSE"), Some(1));
    assert_eq!(status(&site.script("201", "exit 201"), "KILL"), Some(2));
    assert_eq!(status(&site.script("203", "exit 203"), "KILL"), Some(3));
    assert_eq!(status(&site.switcher(), "KILL"), Some(0));
    assert_eq!(job.killed_by(), 9);
}

#[test]
fn a_proxy_renewed_between_a_killed_helper_and_the_next_is_not_lost() {
    let site = Site::new();
    for switcher in [Path::new("-"), &site.switcher()] {
        let sandbox = filled(&site, "s");
        // The state after a setup that was killed during the copy.
        let kept = retained(&sandbox);
        fs::create_dir(&kept).unwrap();
        fs::copy(sandbox.join(PROXY), kept.join(PROXY)).unwrap();
        own(&kept, Account::batch());
        set_mode(&kept, 0o1700);
        let new = new_proxy(&site, "a new one");
        succeeded(&update(&site, switcher, &new, &sandbox).output().unwrap());
        site.clean_up(&sandbox);
        holds(&sandbox, "a new one", Account::batch());
        fs::remove_dir_all(&sandbox).unwrap();
    }
}

/// Starts a shell script as a job, and waits for its file `begun`.
fn begun(site: &Site, sandbox: &Path, script: &str) -> Starter {
    let mut starter =
        Starter::start(run(site, &site.switcher(), sandbox, &["/bin/sh", "-c", script]));
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(starter.launch(b"PATH=/bin", [&null, &null, &null]), b"");
    wait_until("the job has begun", || sandbox.join("begun").exists());
    fs::remove_file(sandbox.join("begun")).unwrap();
    starter
}

#[test]
fn a_signal_to_the_pid_of_run_reaches_the_job_through_the_switcher() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    // With and without the variable for SIGKILL: for HTCondor it is set for all calls or for none.
    for meaning in ["process", "family"] {
        let send = |pid: u32, signal: &str| {
            let mut call = kill(&site, &site.switcher(), &sandbox, pid, signal);
            succeeded(&call.env("GLEXEC_HELPERS_KILL", meaning).output().unwrap());
        };
        let mut asked =
            begun(&site, &sandbox, "trap 'exit 5' TERM; : >begun; while :; do sleep 0.05; done");
        send(asked.child.id(), "TERM");
        assert_eq!(asked.wait().code(), Some(5), "{meaning}");
        let mut stopped = begun(&site, &sandbox, ": >begun; exec sleep 60");
        let jobs = || marked_with(&sandbox).into_iter().map(state).collect::<Vec<_>>();
        send(stopped.child.id(), "STOP");
        wait_until("the job is stopped", || jobs() == [Some('T')]);
        send(stopped.child.id(), "CONT");
        wait_until("the job goes on", || jobs() == [Some('S')]);
        if !stays_above() {
            assert_eq!(marked_with(&sandbox), [stopped.child.id()], "run has become the job");
        }
        send(stopped.child.id(), "KILL");
        assert_eq!(stopped.status(), 128 + 9, "{meaning}");
        wait_until("the job has ended", || jobs().is_empty());
    }
}
