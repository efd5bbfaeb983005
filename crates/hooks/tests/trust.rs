//! Which files are trusted, with real owners, modes and access control lists. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use hooks::trust::{Owners, open, open_directory};
use sys::{Gid, Uid};
use tempfile::TempDir;

const USER: u32 = 61_001;
const GROUP: u32 = 61_002;

/// A directory on a trusted path, with `a/b/script` in it.
struct Tree(TempDir);

impl Tree {
    fn new() -> Tree {
        let top = tempfile::Builder::new().prefix("hooks-trust.").tempdir_in("/var/lib");
        let top = top.expect("these tests need root, and a directory /var/lib of root's");
        fs::create_dir_all(top.path().join("a/b")).unwrap();
        let tree = Tree(top);
        fs::write(tree.script(), "#!/bin/sh\n").unwrap();
        set_mode(tree.0.path(), 0o755);
        set_mode(&tree.path("a"), 0o755);
        set_mode(&tree.path("a/b"), 0o755);
        set_mode(&tree.script(), 0o755);
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self) -> PathBuf {
        self.path("a/b/script")
    }

    /// The error, one line, whose beginning is the path that is not trusted.
    fn refusal(&self, owners: &Owners<'_>, culprit: &Path) -> String {
        let error = open(&self.script(), owners).expect_err("it is opened").to_string();
        assert!(error.starts_with(&format!("{}: ", culprit.display())), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn setfacl(entry: &str, path: &Path) {
    let status = Command::new("setfacl").args(["-m", entry]).arg(path).status();
    assert!(status.expect("setfacl is needed: run ci/provision as root").success());
}

#[test]
fn a_file_of_root_on_a_path_of_root_is_opened() {
    let tree = Tree::new();
    let mut text = String::new();
    open(&tree.script(), &Owners::ROOT).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "#!/bin/sh\n");
}

#[test]
fn every_directory_and_the_file_must_belong_to_a_trusted_user() {
    for name in ["a", "a/b", "a/b/script"] {
        let tree = Tree::new();
        chown(tree.path(name), Some(USER), Some(0)).unwrap();
        let error = tree.refusal(&Owners::ROOT, &tree.path(name));
        assert!(error.contains("it belongs to user 61001 and group 0, mode 0755"), "{error}");
        assert!(error.contains("chown root"), "{error}");
        let owners = Owners { users: &[Uid::from_raw(USER)], groups: &[] };
        open(&tree.script(), &owners).unwrap();
    }
}

#[test]
fn a_group_may_write_only_if_it_is_trusted() {
    for name in ["a", "a/b", "a/b/script"] {
        let tree = Tree::new();
        chown(tree.path(name), None, Some(GROUP)).unwrap();
        set_mode(&tree.path(name), 0o775);
        let error = tree.refusal(&Owners::ROOT, &tree.path(name));
        assert!(error.contains("group 61002 may write to it: run chmod g-w on it"), "{error}");
        let user = Owners { users: &[Uid::from_raw(GROUP)], groups: &[] };
        tree.refusal(&user, &tree.path(name));
        open(&tree.script(), &Owners { users: &[], groups: &[Gid::from_raw(GROUP)] }).unwrap();
    }
}

#[test]
fn the_group_root_is_not_trusted_by_default() {
    let tree = Tree::new();
    set_mode(&tree.path("a"), 0o775);
    let error = tree.refusal(&Owners::ROOT, &tree.path("a"));
    assert!(error.contains("group 0 may write to it"), "{error}");
}

#[test]
fn nothing_that_all_users_may_write_to_is_trusted_also_if_sticky() {
    for (name, mode) in [("a", 0o777), ("a", 0o1777), ("a/b", 0o1777), ("a/b/script", 0o757)] {
        let tree = Tree::new();
        set_mode(&tree.path(name), mode);
        let trusted = [Gid::from_raw(0)];
        let error = tree.refusal(&Owners { users: &[], groups: &trusted }, &tree.path(name));
        assert!(error.contains("all users may write to it"), "{error}");
    }
}

#[test]
fn an_access_control_list_gives_only_trusted_users_and_groups_the_right_to_write() {
    for name in ["a", "a/b", "a/b/script"] {
        for (entry, who) in [("u:61001:rwx", "user 61001"), ("g:61002:rwx", "group 61002")] {
            let tree = Tree::new();
            setfacl(entry, &tree.path(name));
            let error = tree.refusal(&Owners::ROOT, &tree.path(name));
            assert!(error.contains(&format!("{who} may write to it: remove the entry")), "{error}");
            let owners = Owners { users: &[Uid::from_raw(USER)], groups: &[Gid::from_raw(GROUP)] };
            open(&tree.script(), &owners).unwrap();
        }
    }
}

#[test]
fn an_entry_without_the_right_to_write_or_beyond_the_mask_does_no_harm() {
    for entries in ["u:61001:r-x", "u:61001:rwx,m::r-x"] {
        let tree = Tree::new();
        setfacl(entries, &tree.path("a"));
        open(&tree.script(), &Owners::ROOT).unwrap();
    }
}

#[test]
fn a_symbolic_link_is_refused_as_the_file_and_on_the_path() {
    let tree = Tree::new();
    fs::rename(tree.path("a/b"), tree.path("a/real")).unwrap();
    symlink("real", tree.path("a/b")).unwrap();
    let error = tree.refusal(&Owners::ROOT, &tree.path("a/b"));
    assert!(error.contains("symbolic link"), "{error}");
    let tree = Tree::new();
    fs::rename(tree.script(), tree.path("a/b/real")).unwrap();
    symlink("real", tree.script()).unwrap();
    let error = tree.refusal(&Owners::ROOT, &tree.script());
    assert!(error.contains("symbolic link"), "{error}");
}

#[test]
fn only_a_regular_file_is_opened() {
    let tree = Tree::new();
    fs::remove_file(tree.script()).unwrap();
    let error = open(&tree.script(), &Owners::ROOT).unwrap_err().to_string();
    assert!(error.contains("/a/b/script: ENOENT"), "{error}");
    fs::create_dir(tree.script()).unwrap();
    assert!(tree.refusal(&Owners::ROOT, &tree.script()).contains("not a regular file"));
    fs::remove_dir(tree.script()).unwrap();
    // An open of a FIFO would wait for its other end.
    assert!(Command::new("mkfifo").arg(tree.script()).status().unwrap().success());
    assert!(tree.refusal(&Owners::ROOT, &tree.script()).contains("not a regular file"));
    let error = open(Path::new("/dev/null"), &Owners::ROOT).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
}

#[test]
fn a_directory_is_opened_under_the_same_rules() {
    let tree = Tree::new();
    open_directory(&tree.path("a/b"), &Owners::ROOT).unwrap();
    let error = open_directory(&tree.script(), &Owners::ROOT).unwrap_err().to_string();
    assert!(error.contains("not a directory"), "{error}");
    symlink("b", tree.path("a/link")).unwrap();
    let error = open_directory(&tree.path("a/link"), &Owners::ROOT).unwrap_err().to_string();
    assert!(error.contains("symbolic link"), "{error}");
    for name in ["a", "a/b"] {
        let tree = Tree::new();
        chown(tree.path(name), Some(USER), Some(0)).unwrap();
        let error = open_directory(&tree.path("a/b"), &Owners::ROOT).unwrap_err().to_string();
        assert!(error.contains("user 61001 is not trusted"), "{error}");
        set_mode(&tree.path(name), 0o777);
        let owners = Owners { users: &[Uid::from_raw(USER)], groups: &[] };
        let error = open_directory(&tree.path("a/b"), &owners).unwrap_err().to_string();
        assert!(error.contains("all users may write to it"), "{error}");
    }
}

#[test]
fn a_path_that_is_not_canonical_is_refused() {
    let tree = Tree::new();
    let script = tree.script().into_os_string().into_string().unwrap();
    let middle = script.replace("/a/b", "/a/./b");
    let double = script.replace("/a/b", "//a/b");
    let up = script.replace("/a/b", "/a/../a/b");
    let end = format!("{script}/");
    for path in ["", "/", "script", "./script", "/.", "/..", &middle, &double, &up, &end] {
        let error = open(Path::new(path), &Owners::ROOT).unwrap_err().to_string();
        assert!(error.contains("not a canonical path"), "{path}: {error}");
    }
}
