//! Descriptors that no honest agent passes, and files that change or hang: only files of the
//! sandbox are used, and none of them blocks a helper.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use support::attack::{Leftover, Scene, ended, hostile_agent};
use support::handover::{CLEANUP, SETUP, handed_over, new_proxy, text, update};
use support::hanging::Hanging;
use support::{Account, Site, failed, owner, write};

/// The helper's message for a descriptor that it does not accept, and for too many or too few.
const NONE_OF_THE_SANDBOXS: &str = "no file of the sandbox";
const UNASKED: &str = "unexpected descriptor";
const NOT_ONE: &str = "without exactly one descriptor";

/// A scene whose sandbox with the job has a large file.
fn with_large_file() -> Scene {
    let mut scene = Scene::new();
    write(scene.used.join("large"), vec![b'x'; 1 << 20], 0o644);
    Account::job().owns(scene.used.join("large"));
    scene.take_snapshot();
    scene
}

#[test]
fn what_is_no_file_of_the_sandboxs_device_is_not_read() {
    let scene = with_large_file();
    for what in [
        "the null device",
        "endless zeros",
        "a directory",
        "a FIFO",
        "the reading end of a pipe",
        "the writing end of a pipe",
        "its own end of the connection",
        "a new socket",
        "a file in memory",
        "a file of the kernel's",
        "a file of another device",
    ] {
        scene.attack(
            CLEANUP,
            &format!("as content: {what}"),
            Some(&scene.used),
            NONE_OF_THE_SANDBOXS,
        );
    }
    scene.end();
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_that_names_the_copy() {
    let scene = with_large_file();
    for what in ["a handle", "a file to write"] {
        let line =
            scene.attack(CLEANUP, &format!("as content: {what}"), Some(&scene.used), "EBADF");
        assert!(line.contains("injected"), "{line}");
    }
    scene.end();
}

#[test]
fn a_message_has_the_one_descriptor_that_it_needs_or_none() {
    let scene = with_large_file();
    for (helper, way, word) in [
        (CLEANUP, "as content: none", NOT_ONE),
        (CLEANUP, "as content: 2 times a file", NOT_ONE),
        (CLEANUP, "as content: 253 times a file", UNASKED),
        (CLEANUP, "beside a name: a file", NOT_ONE),
        (CLEANUP, "with the greeting: a file", UNASKED),
        (SETUP, "with the greeting: a file", UNASKED),
        (SETUP, "unasked: a file", UNASKED),
        (SETUP, "unasked: 253 times a file", UNASKED),
    ] {
        scene.attack(helper, way, Some(&scene.used), word);
    }
    scene.end();
}

/// The moments at which a descriptor can arrive that the helper must not even close before its end.
const MOMENTS: [(&str, &str); 8] = [
    (CLEANUP, "as content: "),
    (CLEANUP, "as content: 253 times "),
    (CLEANUP, "with the greeting: "),
    (CLEANUP, "unasked: "),
    (CLEANUP, "unread: "),
    (SETUP, "with the greeting: "),
    (SETUP, "unasked: "),
    (SETUP, "unasked: 253 times "),
];

/// A path that exists until this is dropped. While it exists, a hostile agent does not exit.
struct Stay(PathBuf);

impl Stay {
    fn new(site: &Site) -> Stay {
        let path = site.path().join("stay");
        File::create(&path).unwrap();
        Stay(path)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn a_socket_that_takes_minutes_to_close_does_not_block_a_helper() {
    let scene = Scene::new();
    let stay = Stay::new(&scene.site);
    for (helper, moment) in MOMENTS {
        scene.attack(
            helper,
            &format!("{moment}a socket that lingers"),
            Some(&stay.0),
            "it violated the protocol",
        );
    }
    drop(stay);
    scene.end();
}

#[test]
fn a_file_of_a_mount_that_hangs_does_not_block_a_helper() {
    let scene = Scene::new();
    for (helper, moment) in MOMENTS {
        for what in ["a file of a mount that hangs", "a written file of a mount that hangs"] {
            let hanging = Hanging::new(&scene.site);
            scene.attack(
                helper,
                &format!("{moment}{what}"),
                Some(&hanging.path),
                "it violated the protocol",
            );
            hanging.is_silent();
        }
    }
    scene.end();
}

#[test]
fn a_mount_that_hangs_in_the_sandbox_or_over_it_is_an_error_at_once() {
    for (below, word) in [("below", "a mount point inside the sandbox"), ("", "EACCES")] {
        let site = Site::new();
        let sandbox = handed_over(&site, "s");
        let hanging = Hanging::over(&sandbox.join(below));
        hanging.silence();
        let (output, _) = ended(site.call(CLEANUP, &site.switcher(), &sandbox));
        failed(&output, 1, &[word]);
        drop(hanging);
        site.clean_up(&sandbox);
        assert_eq!(site.entries(), ["s"]);
    }
}

#[test]
fn a_mount_that_hangs_over_the_sandbox_is_an_error_of_update_proxy_at_once() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let mount = Hanging::over_for_all(&sandbox);
    mount.silence();
    let new = new_proxy(&site, "renewed");
    let (output, _) = ended(update(&site, &site.switcher(), &new, &sandbox));
    failed(&output, 1, &["something is mounted on it"]);
    drop(mount);
    assert!(!new.exists());
}

#[test]
fn a_passed_file_comes_back_as_long_as_it_was_said_to_be_whatever_becomes_of_it() {
    let site = Site::new();
    for (way, size) in [
        ("is a lie: 4096", 4096),
        ("is a lie: 3000000", 3_000_000),
        ("changes: 50000000", 50_000_000),
    ] {
        let sandbox = handed_over(&site, "s");
        let large = site.path().join("large");
        write(&large, vec![b'x'; 1 << 20], 0o644);
        Account::job().owns(&large);
        let switcher = hostile_agent(&site, &format!("as a size that {way}"), Some(&large));
        let (output, _) = ended(site.call(CLEANUP, &switcher, &sandbox));
        // The copy was complete; another cleanup must finish, because the agent did not move the
        // job's directory.
        failed(&output, 1, &["not today", "the data is complete at", "s.condor"]);
        site.clean_up(&sandbox);
        let injected = fs::metadata(sandbox.join("injected")).unwrap();
        assert_eq!((injected.len(), injected.uid()), (size, Account::batch().uid), "{way}");
        if way.starts_with("is a lie") {
            let kept = usize::try_from(size).unwrap().min(1 << 20);
            let content = fs::read(sandbox.join("injected")).unwrap();
            assert!(content[..kept].iter().all(|byte| *byte == b'x'), "{way}");
            assert!(content[kept..].iter().all(|byte| *byte == 0), "{way}");
        }
        fs::remove_dir_all(&sandbox).unwrap();
    }
}

#[test]
fn a_size_beyond_all_files_is_an_error() {
    let mut scene = Scene::new();
    let large = scene.used.join("large");
    write(&large, vec![b'x'; 1 << 20], 0o644);
    Account::job().owns(&large);
    scene.take_snapshot();
    for size in [i64::MAX as u64, u64::MAX] {
        scene.attack(CLEANUP, &format!("as a size that is a lie: {size}"), Some(&large), "copy");
    }
    scene.end();
}

#[test]
fn cleanup_names_a_file_that_a_left_over_process_holds_a_lease_on_and_does_not_wait_for_it() {
    let scene = Scene::at(Site::new().copying());
    let leased = scene.used.join("leased");
    write(&leased, "content", 0o644);
    Account::job().owns(&leased);
    let holder = Leftover::new(Account::job(), "holds a lease on a file", &[&leased]);
    let (output, _) = ended(scene.site.call(CLEANUP, &scene.site.switcher(), &scene.used));
    failed(&output, 1, &["used/leased", "EAGAIN"]);
    // Not earlier: a process that opens the file for reading has to wait for the lease.
    drop(holder);
    assert_eq!((owner(&leased), text(&leased)), (Account::job(), "content".to_owned()));
    scene.end();
}
