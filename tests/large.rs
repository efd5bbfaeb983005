//! Large files: they are passed as descriptors, and their content is shared with the copy if the
//! file system can. A transfer without enough room is not begun.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;

use support::handover::{
    CLEANUP, SETUP, assert_is_back, assert_is_handed_over, comes_across, data, field, filled,
    handed_over, set_mode,
};
use support::mounts::{in_memory, on_image};
use support::snapshot::snapshot;
use support::{Account, Site, failed, own, succeeded};

const MIB: u64 = 1 << 20;

/// Writes a file with data in these ranges, and holes between them.
fn write_pieces(path: &Path, pieces: &[(u64, u64)], size: u64) {
    let file = File::create(path).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for (start, end) in pieces {
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        random.fill(&mut bytes);
        file.write_all_at(&bytes, *start).unwrap();
    }
    file.set_len(size).unwrap();
}

fn write_large(path: &Path, size: u64) {
    write_pieces(path, &[(0, size)], size);
}

/// Runs a helper with a log; returns the log's line.
fn logged(site: &Site, helper: &str, sandbox: &Path) -> String {
    let log = site.scratch().join("log");
    let _ = fs::remove_file(&log);
    succeeded(
        &site
            .call(helper, &site.switcher(), sandbox)
            .env("GLEXEC_HELPERS_LOG", &log)
            .output()
            .unwrap(),
    );
    fs::read_to_string(log).unwrap()
}

fn passed(line: &str) -> u64 {
    field(line, "bytes_by_descriptor").parse().unwrap()
}

#[test]
fn files_of_all_sizes_around_the_limits_are_preserved() {
    comes_across(|top| {
        for size in [MIB - 1, MIB, MIB + 1, 8 * MIB, 20 * MIB + 12345] {
            write_large(&top.join(size.to_string()), size);
        }
        write_pieces(
            &top.join("holes"),
            &[(MIB, 2 * MIB), (5 * MIB, 5 * MIB + 4096), (7 * MIB, 17 * MIB)],
            19 * MIB,
        );
        write_pieces(&top.join("a hole and a bit"), &[(3 * MIB, 3 * MIB + 1)], 3 * MIB + 1);
        fs::hard_link(top.join("holes"), top.join("one more name")).unwrap();
    });
}

#[test]
fn a_large_file_crosses_as_a_descriptor_in_both_directions() {
    let site = Site::new().copying();
    let sandbox = site.sandbox("s");
    write_large(&sandbox.join("large"), 2 * MIB);
    own(&sandbox, Account::batch());
    for helper in [SETUP, CLEANUP] {
        assert_eq!(passed(&logged(&site, helper, &sandbox)), 2 * MIB, "{helper}");
    }
}

#[test]
fn the_job_user_gets_no_descriptor_of_a_file_that_it_could_open_again_to_write() {
    for mode in [0o666, 0o620, 0o602] {
        let site = Site::new().copying();
        let sandbox = site.sandbox("s");
        write_large(&sandbox.join("large"), 2 * MIB);
        own(&sandbox, Account::batch());
        set_mode(sandbox.join("large"), mode);
        let before = snapshot(&sandbox);
        assert_eq!(passed(&logged(&site, SETUP, &sandbox)), 0, "{mode:o}");
        assert_eq!(snapshot(&sandbox), before);
        // On the way back it is passed: the batch user gets the file's content in any case.
        assert_eq!(passed(&logged(&site, CLEANUP, &sandbox)), 2 * MIB, "{mode:o}");
    }
}

#[test]
fn files_on_another_device_are_sent_as_bytes() {
    let site = Site::new().copying();
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    set_mode(elsewhere.path(), 0o755);
    write_large(&elsewhere.path().join("large"), 2 * MIB);
    set_mode(elsewhere.path().join("large"), 0o644);
    let sandbox = handed_over(&site, "s");
    // A link that leaves comes back as a copy.
    std::os::unix::fs::symlink(elsewhere.path().join("large"), sandbox.join("leaves")).unwrap();
    let line = logged(&site, CLEANUP, &sandbox);
    assert_eq!(passed(&line), 0, "{line}");
    assert!(
        fs::read(sandbox.join("leaves")).unwrap()
            == fs::read(elsewhere.path().join("large")).unwrap()
    );
}

#[test]
fn content_is_shared_where_the_file_system_can_and_needs_no_room_then() {
    let site = Site::new().copying();
    let _mounts = on_image(&site, "xfs", 400);
    let sandbox = site.sandbox("s");
    // The disk has no room for two copies.
    write_large(&sandbox.join("large"), 220 * MIB);
    own(&sandbox, Account::batch());
    let before = data(&sandbox);
    site.set_up(&sandbox);
    assert_is_handed_over(&site, &sandbox, "shared");
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &before, "shared");
}

// Room.

/// Writes a file of this size beside the sandboxes.
fn fill(site: &Site, size: u64) {
    write_large(&site.execute().join("filler"), size);
}

/// The helper must fail because there is no room, and change nothing.
fn refuses(site: &Site, helper: &str, sandbox: &Path, status: i32) {
    let before = (snapshot(sandbox), site.entries());
    let output = site.call(helper, &site.switcher(), sandbox).output().unwrap();
    failed(&output, status, &["has room for", "but a copy of the sandbox needs"]);
    assert_eq!((snapshot(sandbox), site.entries()), before);
}

#[test]
fn a_setup_that_there_is_no_room_for_is_not_begun() {
    let site = Site::new().copying();
    let _mounts = in_memory(&site, "size=16m");
    let sandbox = filled(&site, "s");
    write_large(&sandbox.join("data"), 900 * 1024);
    fill(&site, 15 * MIB);
    own(&sandbox, Account::batch());
    refuses(&site, SETUP, &sandbox, 2);
    fs::remove_file(site.execute().join("filler")).unwrap();
    site.set_up(&sandbox);
}

#[test]
fn a_cleanup_that_there_is_no_room_for_is_not_begun() {
    let site = Site::new().copying();
    let _mounts = in_memory(&site, "size=16m");
    let sandbox = handed_over(&site, "s");
    write_large(&sandbox.join("large"), 10 * MIB);
    own(&sandbox, Account::job());
    let left = data(&sandbox);
    refuses(&site, CLEANUP, &sandbox, 1);
    // With more room, the next call completes.
    support::handover::run(
        "mount",
        &["-o".as_ref(), "remount,size=32m".as_ref(), site.execute().as_os_str()],
    );
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &left, "more room");
}

#[test]
fn a_transfer_with_more_files_than_there_may_be_is_not_begun() {
    let site = Site::new().copying();
    let _mounts = in_memory(&site, "nr_inodes=100");
    let sandbox = handed_over(&site, "s");
    for number in 0..60 {
        File::create(sandbox.join(format!("file {number}"))).unwrap();
    }
    own(&sandbox, Account::job());
    refuses(&site, CLEANUP, &sandbox, 1);
}

#[test]
fn what_a_killed_agent_has_left_does_not_take_the_room_of_the_next_copy() {
    let site = Site::new().copying();
    let _mounts = in_memory(&site, "size=16m");
    let sandbox = filled(&site, "s");
    write_large(&sandbox.join("large"), 4 * MIB);
    own(&sandbox, Account::batch());
    let leave = || {
        let left = site.execute().join("s.gh.01234567");
        fs::create_dir(&left).unwrap();
        write_large(&left.join("large"), 10 * MIB);
        own(&left, Account::job());
    };
    for step in [Site::set_up, Site::clean_up] {
        leave();
        step(&site, &sandbox);
    }
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn holes_and_further_names_need_no_room() {
    let site = Site::new().copying();
    let _mounts = in_memory(&site, "size=32m");
    let sandbox = site.sandbox("s");
    File::create(sandbox.join("hollow")).unwrap().set_len(1 << 30).unwrap();
    write_large(&sandbox.join("data"), 6 * MIB);
    for number in 0..5 {
        fs::hard_link(sandbox.join("data"), sandbox.join(format!("name {number}"))).unwrap();
    }
    own(&sandbox, Account::batch());
    fill(&site, 19 * MIB);
    for step in [Site::set_up, Site::clean_up] {
        step(&site, &sandbox);
        assert_eq!(fs::metadata(sandbox.join("data")).unwrap().nlink(), 6);
        assert_eq!(fs::metadata(sandbox.join("hollow")).unwrap().blocks(), 0);
    }
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file_and_changes_nothing() {
    let site = Site::new().copying();
    let _mounts = in_memory(&site, "size=16m");
    let sandbox = handed_over(&site, "s");
    // The file system is less than half full, so the helper does not measure; but the file that the
    // link leads to is on another file system.
    let elsewhere = tempfile::tempdir_in("/var/tmp").unwrap();
    set_mode(elsewhere.path(), 0o755);
    write_large(&elsewhere.path().join("large"), 20 * MIB);
    set_mode(elsewhere.path().join("large"), 0o644);
    std::os::unix::fs::symlink(elsewhere.path().join("large"), sandbox.join("leaves")).unwrap();
    let before = (snapshot(&sandbox), site.entries());
    let output = site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap();
    failed(&output, 1, &["cannot write", "/leaves", "ENOSPC"]);
    assert_eq!((snapshot(&sandbox), site.entries()), before);
    let mut dropping: Command = site.call(CLEANUP, &site.switcher(), &sandbox);
    succeeded(&dropping.env("GLEXEC_HELPERS_LINKS", "drop").output().unwrap());
    assert!(!sandbox.join("leaves").exists());
}
