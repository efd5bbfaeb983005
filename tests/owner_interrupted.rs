//! What helpers find that were preceded by one that was killed while it changed the owner of a
//! sandbox, and what others have done meanwhile. No file is lost, and no helper is stuck.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::handover::{
    CLEANUP, PendingRename, SETUP, assert_owner, mode, set_mode, text, update,
};
use support::pilot::CREDENTIAL;
use support::trial::{Side, Trial};
use support::{
    Account, PROXY, SUBORDINATE, Site, failed, messages, own, owner, retained, succeeded,
    variables_of, wait_until, write,
};

/// Kills a helper at a system call of its own, the call of this number.
fn killed(trial: &Trial, helper: &str, call: &str, number: u32) {
    let inject = format!("inject={call}:signal=SIGKILL:when={number}");
    let output = trial.inject(helper, &[&format!("trace={call}"), &inject], &[]);
    assert_eq!(output.status.signal(), Some(9), "{}", messages(&output));
    let hit = || trial.seen(Side::Helper).contains("by SIGKILL");
    wait_until("strace has written its log", hit);
}

/// Kills each process of a helper and its calls at a system call, the call of this number.
fn each_killed(trial: &Trial, helper: &str, call: &str, number: u32) {
    let log = trial.log(Side::Helper);
    let program = trial.site.call(helper, &trial.quick, &trial.sandbox);
    let inject = format!("inject={call}:signal=SIGKILL:when={number}");
    // As root: newuidmap(1) has to be set-user-ID.
    let mut strace = Command::new("strace");
    strace.args(["-u", "gh-batch", "-f", "-q", "-o"]).arg(&log);
    strace.args(["-e", &format!("trace={call}"), "-e", &inject]);
    strace.arg(program.get_program()).args(program.get_args()).stdin(Stdio::null());
    strace.env_clear().envs(variables_of(&program)).current_dir("/");
    strace.output().unwrap();
    assert!(trial.seen(Side::Helper).contains("by SIGKILL"), "{helper}: {call} {number}");
}

/// Kills a setup when the sandbox has the retained name, and the job user does not have it yet.
fn setup_killed_in_between(trial: &Trial) {
    killed(trial, SETUP, "renameat", 1);
    assert!(!trial.sandbox.exists() && mode(&retained(&trial.sandbox)) == 0o1700);
}

/// Kills a setup when a part of the files are in the inner directory.
fn setup_killed_early(trial: &Trial) {
    killed(trial, SETUP, "renameat2", 4);
    assert!(inner(&trial.sandbox).is_some() && retained(&trial.sandbox).exists());
}

/// Kills a cleanup when the job's directory is taken, and a part of its entries is moved.
fn cleanup_killed_late(trial: &Trial) {
    trial.set_up();
    // The exchange of names and the name of what is taken come first.
    killed(trial, CLEANUP, "renameat2", 4);
    assert!(inner(&retained(&trial.sandbox)).is_some());
}

/// The inner directory, if there is one.
fn inner(outer: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(outer).unwrap().map(|entry| entry.unwrap().path());
    let is_inner = |path: &PathBuf| {
        path.file_name().unwrap().as_encoded_bytes().starts_with(b".glexec_handover.")
    };
    entries.into_iter().find(is_inner)
}

#[test]
fn a_setup_after_a_killed_one_is_refused_until_cleanup_has_put_the_files_back() {
    let trial = Trial::owning();
    // Before and after the directory with the proxy got its temporary name back.
    for number in [4, 7] {
        killed(&trial, SETUP, "renameat2", number);
        assert!(trial.sandbox.exists());
        let output = trial.site.call(SETUP, &trial.quick, &trial.sandbox).output().unwrap();
        failed(&output, 1, &["run condor_glexec_cleanup first"]);
        trial.brought_back(&format!("a setup killed at rename {number}"));
    }
}

#[test]
fn what_takes_the_name_of_a_sandbox_after_a_killed_setup_costs_no_file() {
    let takers: [PendingRename; 4] = [
        ("directory of another user", &|sandbox| {
            fs::create_dir(sandbox).unwrap();
            Account::other().owns(sandbox);
        }),
        ("file of another user", &|sandbox| {
            write(sandbox, "taken", 0o644);
            Account::other().owns(sandbox);
        }),
        ("link of another user", &|sandbox| {
            symlink("/etc", sandbox).unwrap();
            Account::other().owns(sandbox);
        }),
        ("directory of the batch user", &|sandbox| {
            fs::create_dir(sandbox).unwrap();
            write(sandbox.join(PROXY), "another proxy", 0o600);
            own(sandbox, Account::batch());
        }),
    ];
    for (what, take) in takers {
        let trial = Trial::owning();
        setup_killed_in_between(&trial);
        take(&trial.sandbox);
        for helper in [SETUP, CLEANUP, CLEANUP] {
            let output = trial.site.call(helper, &trial.quick, &trial.sandbox).output().unwrap();
            assert!(!output.status.success(), "{what}: {helper}");
            trial.one_copy(&format!("{what}: {helper}: {}", messages(&output)));
        }
        match fs::symlink_metadata(&trial.sandbox).unwrap().is_dir() {
            true => fs::remove_dir_all(&trial.sandbox).unwrap(),
            false => fs::remove_file(&trial.sandbox).unwrap(),
        }
        trial.brought_back(what);
    }
}

#[test]
fn what_is_written_to_the_sandboxs_own_directory_meanwhile_does_not_keep_cleanup() {
    let trial = Trial::owning();
    cleanup_killed_late(&trial);
    // As a starter does, whose working directory it is.
    let outer = retained(&trial.sandbox);
    let left = fs::read_dir(inner(&outer).unwrap()).unwrap();
    let names: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.is_empty());
    for name in names.iter().map(AsRef::as_ref).chain([Path::new("other")]) {
        write(outer.join(name), "of a starter", 0o644);
        Account::batch().owns(outer.join(name));
    }
    trial.clean_up();
    assert_owner(&trial.sandbox, Account::batch());
    // The job's files have their names; nothing is lost.
    let count = |wanted: &str| {
        let entries = fs::read_dir(&trial.sandbox).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| fs::read_to_string(path).is_ok_and(|text| text == wanted)).count()
    };
    assert_eq!(count("of a starter"), names.len() + 1);
    for entry in fs::read_dir(&trial.sandbox).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_owned();
        if name == "other" || name.as_encoded_bytes().starts_with(b".glexec_left.") {
            fs::remove_file(path).unwrap();
        }
    }
    trial.back("with files of a starter");
}

#[test]
fn a_file_that_a_starter_writes_before_all_is_taken_does_not_end_the_taking() {
    let trial = Trial::owning();
    trial.set_up();
    // Each call ends when the names are exchanged, and the top is the job user's still. The first
    // change of an owner is that of a directory beside it.
    each_killed(&trial, CLEANUP, "fchown", 2);
    let sandbox = &trial.sandbox;
    assert_eq!((owner(sandbox), mode(sandbox)), (Account::batch(), 0o1700));
    for name in ["program", "new"] {
        write(retained(sandbox).join(name), "of a starter", 0o644);
        Account::batch().owns(retained(sandbox).join(name));
    }
    trial.clean_up();
    assert_owner(sandbox, Account::batch());
    assert_eq!(text(sandbox.join("program")), "#!/bin/sh\n");
    assert_eq!(text(sandbox.join("new")), "of a starter");
}

#[test]
fn where_the_parent_cannot_be_listed_a_sandbox_is_copied_and_a_killed_setup_costs_nothing() {
    let trial = Trial::owning();
    set_mode(trial.site.execute(), 0o1733);
    let calls = ["renameat2", "fchmod", "renameat", "openat", "fchown"];
    for (call, number) in calls.iter().flat_map(|call| (1..9).map(move |number| (*call, number))) {
        let inject = format!("inject={call}:signal=SIGKILL:when={number}");
        trial.inject(SETUP, &[&format!("trace={call}"), &inject], &[]);
        trial.one_copy(&format!("{call} {number}"));
        if !retained(&trial.sandbox).exists() {
            continue;
        }
        trial.clean_up();
        trial.back(&format!("{call} {number}"));
    }
    trial.set_up();
    trial.clean_up();
    trial.back("without a fault");
}

#[test]
fn a_top_that_is_set_group_id_is_handed_over() {
    let trial = Trial::owning();
    set_mode(&trial.sandbox, 0o2755);
    trial.set_up();
    assert_eq!(owner(&trial.sandbox).uid, owner(&trial.sandbox.join("program")).uid);
    trial.clean_up();
    assert_owner(&trial.sandbox, Account::batch());
}

#[test]
fn a_lease_that_is_lost_after_a_killed_setup_does_not_keep_the_files() {
    let trial = Trial::owning();
    setup_killed_in_between(&trial);
    // As if the call had been killed with its helper.
    let inner = inner(&retained(&trial.sandbox)).unwrap();
    wait_until("the call has undone its work", || mode(&inner) == 0o700);
    set_mode(&inner, 0o1700);
    let lost = Account { uid: SUBORDINATE.end - 2, gid: SUBORDINATE.end - 2 };
    own(&inner.join("d"), lost);
    lost.owns(inner.join("program"));
    for entry in fs::read_dir(trial.site.leases()).unwrap() {
        let _ = fs::remove_file(entry.unwrap().path());
    }
    trial.brought_back("a setup whose lease is lost");
}

#[test]
fn entries_of_a_job_with_the_names_of_the_inner_directory_are_only_entries() {
    let trial = Trial::owning();
    trial.set_up();
    let of_job = Account::of(&trial.sandbox);
    let inode = fs::metadata(retained(&trial.sandbox)).unwrap().ino();
    // Names for some inodes that the directory with the proxy may get, and for those that are.
    for inode in inode - 20..inode + 100 {
        for suffix in ["", ".take", ".taken"] {
            let path = trial.sandbox.join(format!(".glexec_handover.{inode:x}{suffix}"));
            fs::create_dir(&path).unwrap();
            write(path.join("file"), "of the job", 0o600);
            own(&path, of_job);
        }
    }
    killed(&trial, CLEANUP, "renameat2", 100);
    killed(&trial, CLEANUP, "unlinkat", 1);
    trial.clean_up();
    assert_eq!(
        (text(trial.sandbox.join("program")).as_str(), text(trial.sandbox.join("d/data")).len()),
        ("#!/bin/sh\n", 10_000)
    );
    assert_owner(&trial.sandbox, Account::batch());
    assert_eq!(trial.site.entries(), ["s"]);
    let count = fs::read_dir(&trial.sandbox).unwrap().count();
    assert_eq!(
        count,
        trial.original.keys().filter(|path| path.components().count() == 1).count() + 3 * 120
    );
}

#[test]
fn a_proxy_is_renewed_after_a_kill_and_stays_renewed() {
    type Kill = fn(&Trial);
    let kills: [(&str, Kill); 3] = [
        ("early", setup_killed_early),
        ("in between", setup_killed_in_between),
        ("late", cleanup_killed_late),
    ];
    for (what, kill) in kills {
        let trial = Trial::owning();
        kill(&trial);
        let new = support::handover::new_proxy(&trial.site, "renewed");
        let _ = update(&trial.site, &trial.quick, &new, &trial.sandbox).output().unwrap();
        trial.clean_up();
        assert_eq!(text(trial.sandbox.join(PROXY)), "renewed", "{what}");
        write(trial.sandbox.join(PROXY), "the proxy\n", 0o600);
        trial.back(what);
    }
}

#[test]
fn a_cleanup_that_copies_finishes_a_change_of_owner() {
    type Kill = fn(&Trial);
    let kills: [(&str, Kill); 3] = [
        ("early", setup_killed_early),
        ("in between", setup_killed_in_between),
        ("late", cleanup_killed_late),
    ];
    for (what, kill) in kills {
        let trial = Trial::owning();
        kill(&trial);
        let mut call = trial.site.call(CLEANUP, &trial.quick, &trial.sandbox);
        succeeded(&call.env("GLEXEC_HELPERS_HANDOVER", "copy").output().unwrap());
        trial.back(what);
        trial.alone(what);
    }
}

#[test]
fn an_entry_of_a_payload_with_a_reserved_name_does_not_keep_recover_from_taking_the_rest() {
    let site = Site::new().owning();
    // As a pilot leaves it that is killed while its call takes the sandbox back.
    let sandbox = site.sandbox("s");
    fs::remove_file(sandbox.join(PROXY)).unwrap();
    let payload = Account { uid: SUBORDINATE.end - 3, gid: SUBORDINATE.end - 3 };
    let kept = retained(&sandbox);
    fs::create_dir(&kept).unwrap();
    write(kept.join(CREDENTIAL), "the credential", 0o600);
    own(&kept, Account::batch());
    set_mode(&kept, 0o1700);
    // The payload sees the number of the retained directory's inode.
    let reserved = format!(".glexec_handover.{:x}", fs::metadata(&kept).unwrap().ino());
    for name in [&reserved, "d"] {
        fs::create_dir(sandbox.join(name)).unwrap();
        write(sandbox.join(name).join("file"), "a result", 0o600);
        own(&sandbox.join(name), payload);
    }
    let mut recover = site.helper("condor_glexec_pilot");
    recover.arg("recover").arg("--glexec").arg(site.switcher()).arg(&sandbox);
    succeeded(&recover.output().unwrap());
    assert_owner(&sandbox, Account::batch());
    assert_eq!(text(sandbox.join("d/file")), "a result");
    assert_eq!(site.entries(), ["s"]);
}
