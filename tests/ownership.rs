//! The helpers hand sandboxes over by a change of owner, through the project's `glexec`: which way
//! is taken, and what is left when a helper is killed. tests/owner_command.rs is about the switcher
//! alone. The pass of the other tests through `glexec` shows that the results are those of a copy.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::handover::{CLEANUP, SETUP, filled, set_mode};

use support::trial::{
    FULL, KILLED, PLAIN, Side, Trial, cleanup_reported, killed, setup_reported_and_put_back,
};
use support::{Account, PROXY, Site, failed, own, owner, retained, succeeded, write};

/// The log line of a call that succeeds.
fn logged(site: &Site, call: &mut Command) -> Value {
    let log = site.path().join("log");
    let _ = fs::remove_file(&log);
    write(&log, "", 0o666);
    Account::batch().owns(&log);
    succeeded(&call.env("GLEXEC_HELPERS_LOG", &log).output().unwrap());
    let lines = fs::read_to_string(&log).unwrap();
    let of_helper = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    of_helper.into_iter().find(|line| line["helper"] != "glexec").unwrap()
}

/// Sets a sandbox up and cleans it up with this value of the variable. Returns both log lines.
fn both(site: &Site, sandbox: &Path, handover: &str) -> [Value; 2] {
    [SETUP, CLEANUP].map(|helper| {
        let mut call = site.call(helper, &site.switcher(), sandbox);
        logged(site, call.env("GLEXEC_HELPERS_HANDOVER", handover))
    })
}

#[test]
fn the_caller_selects_the_way_and_the_log_says_which_was_taken() {
    let site = Site::new().owning();
    for (value, way) in [("", "own"), ("auto", "own"), ("own", "own"), ("copy", "copy")] {
        let sandbox = filled(&site, format!("s{value}"));
        let inodes = ["", "input", "below/script"].map(|name| sandbox.join(name));
        let before = inodes.each_ref().map(|path| fs::metadata(path).unwrap().ino());
        for line in both(&site, &sandbox, value) {
            match way {
                "own" => assert_eq!(line["handover"], "own", "{value}: {line}"),
                _ => assert!(line["handover"].is_null() || line["handover"] == "copy", "{line}"),
            }
        }
        let after = inodes.each_ref().map(|path| fs::metadata(path).unwrap().ino());
        assert_eq!(before[0], after[0]);
        assert_eq!(before == after, way == "own", "{value}");
    }
    let sandbox = filled(&site, "refused");
    for helper in [SETUP, CLEANUP] {
        let mut call = site.call(helper, &site.switcher(), &sandbox);
        failed(
            &call.env("GLEXEC_HELPERS_HANDOVER", "move").output().unwrap(),
            1,
            &["GLEXEC_HELPERS_HANDOVER must be auto, own or copy: 'move'"],
        );
    }
}

#[test]
fn another_switcher_and_a_top_with_many_entries_mean_a_copy() {
    let site = Site::new().owning();
    let sandbox = filled(&site, "many");
    for number in 0..2_001 {
        write(sandbox.join(format!("{number}")), "", 0o644);
    }
    own(&sandbox, Account::batch());
    for line in both(&site, &sandbox, "auto") {
        assert_eq!(line["handover"], "copy", "{line}");
        let why = line["handover_reason"].as_str().unwrap();
        assert!(why.contains("more than 2000"), "{why}");
    }
    for line in both(&site, &sandbox, "own") {
        assert_eq!(line["handover"], "own", "{line}");
    }
    let other = site.script("other", "exec \"$GLEXEC\" \"$@\"");
    for helper in [SETUP, CLEANUP] {
        let mut call = site.call(helper, &other, &sandbox);
        call.env("GLEXEC", site.switcher());
        let line = logged(&site, &mut call);
        assert_ne!(line["handover"], "own", "{line}");
    }
}

#[test]
fn a_sandbox_that_cannot_be_given_is_copied_and_the_log_says_why() {
    let site = Site::new().owning();
    let sandbox = filled(&site, "s");
    fs::hard_link(sandbox.join("input"), site.execute().join("outside")).unwrap();
    let [set_up, _] = both(&site, &sandbox, "own");
    assert_eq!(set_up["handover"], "copy", "{set_up}");
    let why = set_up["handover_reason"].as_str().unwrap();
    assert!(why.contains("hard links outside"), "{why}");
    assert_eq!(owner(&site.execute().join("outside")), Account::batch());
}

#[test]
fn a_sandbox_that_cannot_be_taken_is_copied_and_the_log_says_why() {
    let site = Site::new().owning();
    let sandbox = filled(&site, "s");
    site.set_up(&sandbox);
    assert_ne!(owner(&sandbox), Account::batch());
    set_mode(sandbox.join("below"), 0o777);
    let mut call = site.call(CLEANUP, &site.switcher(), &sandbox);
    let line = logged(&site, &mut call);
    assert_eq!(line["handover"], "copy", "{line}");
    let why = line["handover_reason"].as_str().unwrap();
    assert!(why.contains("group or others may write"), "{why}");
    assert_eq!(owner(&sandbox.join("below")), Account::batch());
}

#[test]
fn the_retained_directory_is_the_sandboxs_own_and_has_the_proxy_alone() {
    let site = Site::new().owning();
    let sandbox = filled(&site, "s");
    let inode = fs::metadata(&sandbox).unwrap().ino();
    site.set_up(&sandbox);
    let retained = retained(&sandbox);
    let found = fs::metadata(&retained).unwrap();
    assert_eq!((found.ino(), found.mode() & 0o7777), (inode, 0o1700));
    let names: Vec<_> =
        fs::read_dir(&retained).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(names, [PROXY]);
    assert_eq!(fs::metadata(retained.join(PROXY)).unwrap().mode() & 0o7777, 0o600);
    site.clean_up(&sandbox);
    assert_eq!(fs::metadata(&sandbox).unwrap().ino(), inode);
}

#[test]
fn a_killed_setup_leaves_all_files_and_cleanup_brings_them_back() {
    Trial::owning().at_each_call(SETUP, Side::Helper, &[], KILLED, killed);
}

#[test]
fn a_killed_cleanup_leaves_all_files_and_the_next_brings_them_back() {
    Trial::owning().at_each_call(CLEANUP, Side::Helper, &[], KILLED, killed);
}

#[test]
fn a_setup_that_finds_the_disk_full_puts_everything_back() {
    Trial::owning().at_each_call(SETUP, Side::Helper, &[], FULL, setup_reported_and_put_back);
}

#[test]
fn a_cleanup_that_finds_the_disk_full_is_completed_by_the_next() {
    Trial::owning().at_each_call(CLEANUP, Side::Helper, &[], FULL, cleanup_reported);
}

#[test]
fn a_setup_and_a_cleanup_work_where_renameat2_knows_no_flag() {
    let trial = Trial::owning();
    for helper in [SETUP, CLEANUP] {
        succeeded(&trial.inject(helper, &[&["trace=renameat2"], PLAIN].concat(), &[]));
    }
    trial.back("with plain renames");
}
