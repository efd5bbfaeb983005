//! `glexec --give` and `--take` on file systems of other kinds, and on a full one.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use support::handover::{assert_owner, run, set_mode, text};
use support::mounts::{Mounts, in_memory};
use support::owner::open_to_write;
use support::owner_calls::{Calls, number};
use support::snapshot::snapshot;
use support::{Account, failed, own, write};

/// Gives a tree of all kinds and takes it back, while another account's process has one of its
/// files open for writing. It is what it was before, and the writer does not change it.
fn round_trip(calls: &Calls, top: &Path) {
    let before = snapshot(top);
    calls.done(&[("--give", top)], &[]);
    calls.is_whole(top, calls.user, &["tree"]);
    assert_eq!(snapshot(top), before);
    let mut writer = open_to_write(&top.join("input"));
    let taken = calls.done(&[("--take", top)], &["--links", "keep"]);
    calls.is_whole(top, Account::batch(), &["tree"]);
    writer.write_all(b"EVIL").unwrap();
    drop(writer);
    assert_eq!(number(&taken, "copied/written"), 1, "{taken}");
    // What comes back can be written to by its owner.
    set_mode(top.join("below/closed"), 0o400);
    assert_eq!(snapshot(top), before);
}

/// Mounts an overlay for the sandboxes of a site. Its layers are in memory: an overlay on an
/// overlay would not do for what is changed.
fn overlay(calls: &Calls, lower: &Path, upper: &Path) -> Mounts {
    let execute = calls.rootless.site.execute();
    let mounts = Mounts::below(&execute);
    let work = upper.with_file_name("work");
    for layer in [lower, upper, &work] {
        fs::create_dir_all(layer).unwrap();
        set_mode(layer, 0o1777);
    }
    let [lower, upper, work] = [lower, upper, &work].map(|layer| layer.display().to_string());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    mounts.add(&["-t", "overlay", "-o", &options, "none"], &execute);
    mounts
}

/// A directory with a file system in memory.
fn memory(calls: &Calls, name: &str) -> (std::path::PathBuf, Mounts) {
    let path = calls.rootless.site.path().join(name);
    fs::create_dir(&path).unwrap();
    let mounts = Mounts::below(&path);
    mounts.add(&["-t", "tmpfs", "-o", "mode=755", "none"], &path);
    (path, mounts)
}

#[test]
fn a_tree_on_an_overlay_changes_its_owner() {
    for lower_is_elsewhere in [false, true] {
        let calls = Calls::new();
        let (layers, _layers) = memory(&calls, "layers");
        let (elsewhere, _elsewhere) = memory(&calls, "elsewhere");
        let lower = if lower_is_elsewhere { &elsewhere } else { &layers }.join("lower");
        // One tree whose files are all in the upper layer.
        let mounts = overlay(&calls, &lower, &layers.join("upper"));
        round_trip(&calls, &calls.furnished("tree"));
        drop(mounts);
        // The same, in the lower layer: each file is copied up when its owner changes, which makes
        // separate files of hard links there, whatever changes them.
        fs::remove_file(layers.join("upper/tree/below/linked")).unwrap();
        run("cp", &["-a".as_ref(), layers.join("upper/tree").as_os_str(), lower.as_os_str()]);
        let _mounts = overlay(&calls, &lower, &layers.join("upper 2"));
        round_trip(&calls, &calls.path("tree"));
    }
}

#[test]
fn a_tree_on_a_fuse_mount_is_refused_and_stays_as_it_was() {
    let calls = Calls::new();
    let top = calls.furnished("tree");
    let execute = calls.rootless.site.execute();
    let _mounts = Mounts::below(&execute);
    // The kernel grants leases there, also of a file that is open for writing below the mount.
    run("bindfs", &[execute.as_os_str(), execute.as_os_str()]);
    for (option, account) in [("--give", Account::batch()), ("--take", calls.user)] {
        own(&top, account);
        let before = snapshot(&top);
        calls.refused(205, &[(option, &top)], &[], &["FUSE", "copy it"]);
        assert_eq!(snapshot(&top), before, "{option}");
        calls.is_whole(&top, account, &["tree"]);
    }
}

#[test]
fn a_full_disk_when_a_file_has_to_be_copied_keeps_every_file_and_the_same_call_finishes() {
    let calls = Calls::new();
    let _mounts = in_memory(&calls.rootless.site, "size=24m");
    let (top, empty) = (calls.empty("tree"), calls.empty("empty"));
    let content = vec![b'x'; 16 << 20];
    fs::create_dir(top.join("directory")).unwrap();
    write(top.join("directory/large"), &content, 0o644);
    write(top.join("other"), "other", 0o644);
    own(&top, Account::batch());
    calls.done(&[("--give", &top)], &[]);
    let mut writer = open_to_write(&top.join("directory/large"));
    let take = [("--take", &*top), ("--exchange", &*empty)];
    let output = calls.call(&take, &[]).output().unwrap();
    failed(&output, 202, &["cannot copy", "/directory/large", "ENOSPC", "finishes it"]);
    assert_eq!(calls.rootless.site.entries(), ["empty", "tree"], "no copy is left");
    assert!(fs::read(empty.join("directory/large")).unwrap() == content);
    let execute = calls.rootless.site.execute();
    run("mount", &["-o".as_ref(), "remount,size=48m".as_ref(), execute.as_os_str()]);
    let taken = calls.done(&take, &[]);
    assert_eq!(number(&taken, "copied/written"), 1, "{taken}");
    writer.write_all(b"EVIL").unwrap();
    assert!(fs::read(empty.join("directory/large")).unwrap() == content);
    assert_eq!(text(empty.join("other")), "other");
    assert_owner(&empty, Account::batch());
    assert_eq!(calls.rootless.site.entries(), ["empty", "tree"]);
}
