//! Symbolic links that a job leaves: none may lead a reader of the returned sandbox to a file
//! outside it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::handover::{CLEANUP, field, filled, handed_over, mode, set_mode, text};
use support::hanging::Hanging;
use support::snapshot::{make_fifo, set_modified, snapshot};
use support::{Account, Site, failed, own, owner, succeeded, write};

/// Files outside every sandbox: one that all users may read, one that only the batch user may read,
/// a directory and a FIFO.
fn outside(site: &Site) -> PathBuf {
    let outside = site.path().join("outside");
    fs::create_dir_all(outside.join("directory")).unwrap();
    write(outside.join("open"), "open to all", 0o644);
    set_modified(&outside.join("open"), 1_000_000_000, 7);
    write(outside.join("secret"), "the batch user's own", 0o600);
    Account::batch().owns(outside.join("secret"));
    make_fifo(&outside.join("fifo"));
    outside
}

fn cleanup(site: &Site, sandbox: &Path, policy: &str) -> Command {
    let mut call = site.call(CLEANUP, &site.switcher(), sandbox);
    call.env("GLEXEC_HELPERS_LINKS", policy);
    call
}

/// Cleans up a sandbox in which the job has left links as `leave` makes them.
fn returned(leave: impl Fn(&Path, &Path), policy: &str) -> (Site, PathBuf, String) {
    let site = Site::new();
    let (sandbox, outside, log) =
        (handed_over(&site, "s"), outside(&site), site.scratch().join("log"));
    leave(&sandbox, &outside);
    own(&sandbox, Account::job());
    succeeded(&cleanup(&site, &sandbox, policy).env("GLEXEC_HELPERS_LOG", &log).output().unwrap());
    let line = text(&log);
    (site, sandbox, line)
}

fn is_link(path: &Path) -> bool {
    path.is_symlink()
}

#[test]
fn setup_hands_links_over_as_they_are() {
    let site = Site::new();
    let (sandbox, outside) = (filled(&site, "s"), outside(&site));
    for (name, target) in
        [("absolute", outside.join("open")), ("climbs", PathBuf::from("../../outside/secret"))]
    {
        symlink(&target, sandbox.join(name)).unwrap();
        Account::batch().owns(sandbox.join(name));
    }
    let before = snapshot(&sandbox);
    site.set_up(&sandbox);
    assert_eq!(snapshot(&sandbox), before);
}

#[test]
fn a_link_that_leaves_comes_back_as_a_copy_of_the_file_it_leads_to() {
    let leave = |sandbox: &Path, outside: &Path| {
        symlink(outside.join("open"), sandbox.join("absolute")).unwrap();
        symlink("../../outside/open", sandbox.join("climbs")).unwrap();
        symlink("below/../../../outside/open", sandbox.join("goes down first")).unwrap();
        symlink("../../../outside/open", sandbox.join("below/climbs")).unwrap();
        // An absolute link that leads to the sandbox itself.
        symlink(sandbox.join("input"), sandbox.join("absolute to inside")).unwrap();
    };
    let (_site, sandbox, line) = returned(leave, "copy");
    for name in ["absolute", "climbs", "goes down first", "below/climbs"] {
        let copy = sandbox.join(name);
        assert!(!is_link(&copy), "{name}");
        assert_eq!(
            (text(&copy).as_str(), mode(&copy), owner(&copy)),
            ("open to all", 0o644, Account::batch())
        );
        let seconds = std::os::unix::fs::MetadataExt::mtime(&fs::metadata(&copy).unwrap());
        assert_eq!(seconds, 1_000_000_000, "{name}");
    }
    assert_eq!(text(sandbox.join("absolute to inside")), "the input");
    assert!(!is_link(&sandbox.join("absolute to inside")));
    assert!(line.contains(r#""links":0"#), "none was left behind: {line}");
}

#[test]
fn a_link_that_leaves_to_anything_else_is_left_behind_counted_and_named() {
    let leave = |sandbox: &Path, outside: &Path| {
        for name in ["secret", "directory", "fifo", "nothing"] {
            symlink(outside.join(name), sandbox.join(format!("to {name}"))).unwrap();
        }
        symlink("/dev/zero", sandbox.join("to a device")).unwrap();
        symlink("..", sandbox.join("to the parent")).unwrap();
    };
    let (_site, sandbox, line) = returned(leave, "copy");
    let names = ["secret", "directory", "fifo", "nothing", "a device", "the parent"]
        .map(|name| format!("to {name}"));
    for name in &names {
        assert!(!is_link(&sandbox.join(name)) && !sandbox.join(name).exists(), "{name}");
        assert!(line.contains(&format!("/{name}\"")), "{name} is not named: {line}");
    }
    assert_eq!(field(&line, "link_examples").matches("/to ").count(), 1);
    assert!(line.contains(r#""links":6"#), "{line}");
}

#[test]
fn a_link_that_stays_comes_back_as_a_link() {
    let leave = |sandbox: &Path, _: &Path| {
        for (name, target) in [
            ("here", "input"),
            ("nowhere", "missing"),
            ("round", "round"),
            ("there and back", "below/../input"),
            ("through a link", "inner/../input"),
            ("inner", "below"),
            ("below/up", "../input"),
            ("below/top", ".."),
        ] {
            symlink(target, sandbox.join(name)).unwrap();
        }
        fs::hard_link(sandbox.join("here"), sandbox.join("here, too")).unwrap();
    };
    let (_site, sandbox, line) = returned(leave, "copy");
    for name in [
        "here",
        "here, too",
        "nowhere",
        "round",
        "there and back",
        "through a link",
        "inner",
        "below/up",
        "below/top",
    ] {
        assert!(is_link(&sandbox.join(name)), "{name}");
    }
    for name in ["here", "there and back", "through a link", "below/up"] {
        assert_eq!(text(sandbox.join(name)), "the input", "{name}");
    }
    assert!(line.contains(r#""links":0"#), "{line}");
}

#[test]
fn a_link_that_leaves_only_because_another_is_a_link_does_not_come_back() {
    let leave = |sandbox: &Path, _: &Path| {
        // Its components stay inside; but "self" leads to its own directory, so ".." climbs.
        symlink(".", sandbox.join("self")).unwrap();
        symlink("self/../outside", sandbox.join("trick")).unwrap();
        symlink("below/up/../../../outside", sandbox.join("second trick")).unwrap();
        symlink("..", sandbox.join("below/up")).unwrap();
        set_mode(sandbox.join("below"), 0o555);
    };
    for policy in ["copy", "drop"] {
        let (_site, sandbox, line) = returned(leave, policy);
        for name in ["trick", "second trick"] {
            assert!(
                !is_link(&sandbox.join(name)) && !sandbox.join(name).exists(),
                "{policy}: {name}"
            );
        }
        assert!(is_link(&sandbox.join("self")) && is_link(&sandbox.join("below/up")), "{policy}");
        assert_eq!(mode(&sandbox.join("below")), 0o755);
        assert!(line.contains(r#""links":2"#), "{line}");
    }
}

#[test]
fn a_link_that_leaves_behind_more_links_than_the_kernel_follows_does_not_come_back() {
    let leave = |sandbox: &Path, _: &Path| {
        for number in 0..50 {
            symlink(format!("chain{}", number + 1), sandbox.join(format!("chain{number}")))
                .unwrap();
        }
        symlink(".", sandbox.join("chain50")).unwrap();
        symlink("chain0/../outside", sandbox.join("trick")).unwrap();
    };
    for policy in ["copy", "drop"] {
        let (_site, sandbox, line) = returned(leave, policy);
        assert!(!is_link(&sandbox.join("trick")), "{policy}");
        assert!(is_link(&sandbox.join("chain0")) && is_link(&sandbox.join("chain50")), "{policy}");
        assert!(line.contains(r#""links":1"#), "{line}");
    }
}

#[test]
fn one_link_with_two_names_is_judged_at_each() {
    let leave = |sandbox: &Path, _: &Path| {
        symlink("../input", sandbox.join("below/link")).unwrap();
        // The same link one level higher leads out of the sandbox.
        fs::hard_link(sandbox.join("below/link"), sandbox.join("link, too")).unwrap();
        write(sandbox.parent().unwrap().join("input"), "outside the sandbox", 0o644);
    };
    let (_site, sandbox, _) = returned(leave, "copy");
    assert!(is_link(&sandbox.join("below/link")));
    assert!(!is_link(&sandbox.join("link, too")));
    assert_eq!(text(sandbox.join("link, too")), "outside the sandbox");
}

#[test]
fn links_that_leave_are_dropped_or_kept_if_the_caller_says_so() {
    let leave = |sandbox: &Path, outside: &Path| {
        symlink(outside.join("open"), sandbox.join("leaves")).unwrap();
        symlink("input", sandbox.join("stays")).unwrap();
    };
    let (_site, sandbox, line) = returned(leave, "drop");
    assert!(!is_link(&sandbox.join("leaves")) && !sandbox.join("leaves").exists());
    assert!(is_link(&sandbox.join("stays")));
    assert!(line.contains(r#""links":1"#), "{line}");
    let (site, sandbox, line) = returned(leave, "keep");
    assert_eq!(fs::read_link(sandbox.join("leaves")).unwrap(), site.path().join("outside/open"));
    assert!(line.contains(r#""links":0"#), "{line}");
}

#[test]
fn an_unknown_policy_is_refused_before_anything_is_done() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let before = (snapshot(&sandbox), site.entries());
    let output: Output = cleanup(&site, &sandbox, "follow").output().unwrap();
    failed(&output, 1, &["GLEXEC_HELPERS_LINKS", "follow", "copy, keep or drop"]);
    assert_eq!((snapshot(&sandbox), site.entries()), before);
}

#[test]
fn many_links_to_one_file_are_one_copy() {
    let leave = |sandbox: &Path, outside: &Path| {
        for number in 0..10 {
            symlink(outside.join("open"), sandbox.join(format!("link {number}"))).unwrap();
        }
        // Two names of one file, and an absolute link to it: the link may become a second file.
        fs::hard_link(sandbox.join("input"), sandbox.join("input, too")).unwrap();
        symlink(sandbox.join("input"), sandbox.join("absolute to inside")).unwrap();
    };
    let (_site, sandbox, _) = returned(leave, "copy");
    let inode = |name: &str| {
        std::os::unix::fs::MetadataExt::ino(&fs::symlink_metadata(sandbox.join(name)).unwrap())
    };
    for number in 1..10 {
        assert_eq!(inode(&format!("link {number}")), inode("link 0"));
    }
    assert_eq!(inode("input"), inode("input, too"));
    assert_eq!(text(sandbox.join("absolute to inside")), "the input");
}

#[test]
fn what_a_link_leads_to_brings_no_attributes_and_what_cannot_be_read_is_left_behind() {
    let leave = |sandbox: &Path, outside: &Path| {
        support::snapshot::set_attribute(
            &outside.join("open"),
            "user.note",
            "of another file system, perhaps",
        );
        symlink(outside.join("open"), sandbox.join("noted")).unwrap();
        // Its owner can open it, and no process can read its first byte.
        symlink("/proc/self/mem", sandbox.join("unreadable")).unwrap();
    };
    let (_site, sandbox, line) = returned(leave, "copy");
    assert_eq!(text(sandbox.join("noted")), "open to all");
    assert_eq!(snapshot(&sandbox)[Path::new("noted")].attributes.len(), 0);
    assert!(!is_link(&sandbox.join("unreadable")) && !sandbox.join("unreadable").exists());
    assert!(line.contains(r#""links":1"#), "{line}");
}

#[test]
fn a_link_to_a_file_system_that_does_not_answer_is_left_behind() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let hanging = Hanging::new(&site);
    symlink(hanging.path.join("file"), sandbox.join("hangs")).unwrap();
    own(&sandbox, Account::job());
    hanging.silence();
    succeeded(
        &cleanup(&site, &sandbox, "copy").env("GLEXEC_HELPERS_IDLE_TIMEOUT", "2").output().unwrap(),
    );
    assert!(!is_link(&sandbox.join("hangs")));
    assert_eq!(
        (text(sandbox.join("input")).as_str(), owner(&sandbox)),
        ("the input", Account::batch())
    );
}
