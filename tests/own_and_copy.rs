//! For random trees, a change of owner has the result of a copy, entry by entry.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use support::handover::{data, handed_over, run, set_mode};
use support::owner::{Tree, job, open_to_write};
use support::snapshot::{Snapshot, make_fifo, set_attribute, set_modified, snapshot};
use support::{Account, Site, is_rootless, write};

/// How many trees are tried.
const TREES: u64 = 40;

/// What a tree is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All that a job can leave.
    Any,
    /// What can be given: see `what_could_not_be_undone_exactly_is_not_given`.
    Plain,
}

/// Grows a tree that only its seed, its path and its owner decide.
struct Gardener<'a> {
    random: Rng,
    kind: Kind,
    account: Account,
    top: &'a Path,
    /// A directory outside of the tree, on the same file system.
    outside: &'a Path,
    /// Regular files, to be linked.
    files: Vec<PathBuf>,
    /// Everything, in the order in which it was made.
    all: Vec<PathBuf>,
    /// Descriptors that are left open for writing.
    writers: Vec<File>,
}

/// Grows one; what is returned keeps files open for writing.
fn grow(seed: u64, kind: Kind, account: Account, top: &Path, outside: &Path) -> Vec<File> {
    fs::create_dir(outside).unwrap();
    set_mode(outside, 0o755);
    write(outside.join("open"), "open to all", 0o644);
    write(outside.join("closed"), "closed to all", 0o600);
    set_modified(&outside.join("open"), 1_000_000_000, 7);
    let mut gardener = Gardener {
        random: Rng::with_seed(seed),
        kind,
        account,
        top,
        outside,
        files: Vec::new(),
        all: vec![top.to_path_buf()],
        writers: Vec::new(),
    };
    let readable = top.join("readable");
    write(&readable, "readable", 0o644);
    account.owns(&readable);
    gardener.all.push(readable);
    gardener.directory(top, 0);
    // Times come last, from below: each entry changes the time of its directory.
    for path in gardener.all.iter().rev() {
        let seconds = gardener.random.i64(0..2_000_000_000);
        set_modified(path, seconds, gardener.random.i64(0..1_000_000_000));
    }
    gardener.writers
}

impl Gardener<'_> {
    fn directory(&mut self, path: &Path, depth: u32) {
        for number in 0..self.random.u32(0..8) {
            let path = path.join(format!("{depth} {number}"));
            match self.random.u32(0..if self.kind == Kind::Any { 12 } else { 8 }) {
                0 | 1 if depth < 4 => self.subdirectory(&path, depth),
                0..5 => self.file(&path),
                5 => self.hard_link(&path),
                6 | 7 => self.link(&path, depth),
                8 => make_fifo(&path),
                9 => drop(UnixListener::bind(&path).unwrap()),
                10 => self.outer_link(&path),
                _ => self.leaving(&path, depth),
            }
            if let Ok(found) = fs::symlink_metadata(&path) {
                self.all.push(path.clone());
                if !found.is_file() && !found.is_dir() {
                    self.account.owns(&path);
                }
            }
        }
    }

    fn subdirectory(&mut self, path: &Path, depth: u32) {
        fs::create_dir(path).unwrap();
        self.all.push(path.to_path_buf());
        self.directory(path, depth + 1);
        self.account.owns(path);
        let special = self.special_bits();
        set_mode(path, (self.random.u32(0..0o1000) & 0o755) | special);
        self.attributes(path, 5);
    }

    fn file(&mut self, path: &Path) {
        let length = match self.random.u32(0..8) {
            0 => 0,
            1 => self.random.usize((1 << 20)..(3 << 20)),
            _ => self.random.usize(1..10_000),
        };
        let mut content = vec![0; length];
        self.random.fill(&mut content);
        fs::write(path, content).unwrap();
        if self.random.u32(0..6) == 0 {
            let hole = length as u64 + 100_000;
            File::options().write(true).open(path).unwrap().set_len(hole).unwrap();
        }
        self.account.owns(path);
        let special = self.special_bits();
        set_mode(path, self.random.u32(0..0o1000) | special);
        self.attributes(path, 7);
        if self.kind == Kind::Any && self.random.u32(0..8) == 0 {
            self.writers.push(open_to_write(path));
        }
        self.files.push(path.to_path_buf());
    }

    /// Set-user-ID, set-group-ID and sticky bits. Behind the project's own switcher no job can set
    /// them.
    fn special_bits(&mut self) -> u32 {
        let bits = self.random.u32(0..8) << 9;
        if self.kind == Kind::Any && !is_rootless() { bits } else { 0 }
    }

    fn attributes(&mut self, path: &Path, rights: u32) {
        if self.random.u32(0..4) == 0 {
            set_attribute(path, "user.note", &"x".repeat(self.random.usize(0..300)));
        }
        if self.kind == Kind::Any && self.random.u32(0..4) == 0 {
            let rights = self.random.u32(0..8) & rights;
            set_list(path, &format!("u:gh-other:{rights},m::{rights}"));
        }
        if self.kind == Kind::Any && path.is_dir() && self.random.u32(0..4) == 0 {
            set_list(path, "d:u:gh-other:rwx");
        }
        if self.kind == Kind::Any && path.is_file() && self.random.u32(0..8) == 0 {
            run("setcap", &[OsStr::new("cap_net_raw+ep"), path.as_os_str()]);
        }
    }

    fn hard_link(&mut self, path: &Path) {
        if let Some(file) = self.random.choice(&self.files) {
            fs::hard_link(file, path).unwrap();
        }
    }

    fn outer_link(&mut self, path: &Path) {
        self.file(path);
        let outer = self.outside.join(format!("outer {}", self.files.len()));
        fs::hard_link(path, outer).unwrap();
    }

    /// A link that stays in the tree, or leads nowhere.
    fn link(&mut self, path: &Path, depth: u32) {
        let up = "../".repeat(self.random.usize(0..=depth as usize));
        let target = *self.random.choice(&["0 1", "nothing", "1 0/0 0", "."]).unwrap();
        symlink(format!("{up}{target}"), path).unwrap();
    }

    fn leaving(&mut self, path: &Path, depth: u32) {
        let climbing = format!("{}outside", "../".repeat(depth as usize + 2));
        let target = match self.random.u32(0..6) {
            0 => self.outside.join("open"),
            1 => self.outside.join("closed"),
            2 => Path::new(&climbing).join("open"),
            3 => self.outside.to_path_buf(),
            4 => self.top.join("readable"),
            _ => PathBuf::from("0 0/../../../outside/open"),
        };
        symlink(target, path).unwrap();
    }
}

fn set_list(path: &Path, entries: &str) {
    let words = ["-m", entries, "--"].map(OsStr::new);
    run("setfacl", &words.into_iter().chain([path.as_os_str()]).collect::<Vec<_>>());
}

/// Fails unless two snapshots are equal, and names the first difference.
fn same(own: &Snapshot, copy: &Snapshot, what: &str) {
    for path in own.keys().chain(copy.keys()) {
        let (own, copy) = (own.get(path), copy.get(path));
        if own != copy {
            let shown = |entry: Option<&support::snapshot::Entry>| {
                entry.map(|entry| {
                    let mut entry = entry.clone();
                    entry.content.truncate(30);
                    entry
                })
            };
            panic!("{what}: {}: own {:?}, copy {:?}", path.display(), shown(own), shown(copy));
        }
    }
}

#[test]
fn a_tree_that_is_taken_back_is_what_a_copy_would_be() {
    let mut copied = 0;
    for seed in 0..TREES {
        let site = Site::new();
        let sandbox = handed_over(&site, "s");
        for name in ["input", "link", "below/script"] {
            fs::remove_file(sandbox.join(name)).unwrap();
        }
        fs::remove_dir(sandbox.join("below")).unwrap();
        let _writers =
            grow(seed, Kind::Any, Account::job(), &sandbox, &site.path().join("outside"));
        site.clean_up(&sandbox);
        let tree = Tree::new();
        let _writers = grow(seed, Kind::Any, job(), &tree.top, &tree.site.path().join("outside"));
        tree.copy_link_targets();
        let messages = tree.taken();
        same(&snapshot(&tree.top), &data(&sandbox), &format!("seed {seed}"));
        tree.is_back();
        copied += u32::from(!messages.contains("Copied { written: 0, unproved: 0, outer_names: 0"));
    }
    assert!(copied > 3, "only {copied} trees had a file to be copied");
}

#[test]
fn a_tree_that_is_given_is_what_a_copy_would_be() {
    for seed in 0..TREES / 2 {
        let tree = Tree::new();
        let outside = tree.site.path().join("outside");
        let _ = grow(seed, Kind::Plain, Account::batch(), &tree.top, &outside);
        Account::batch().owns(&tree.top);
        let site = Site::new();
        let sandbox = site.sandbox("s");
        let outside = site.path().join("outside");
        let _ = grow(seed, Kind::Plain, Account::batch(), &sandbox, &outside);
        site.set_up(&sandbox);
        tree.done("give");
        same(&snapshot(&tree.top), &data(&sandbox), &format!("seed {seed}"));
        support::handover::assert_owner(&tree.top, job());
    }
}
