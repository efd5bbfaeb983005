//! A snapshot of a tree: everything that must be preserved, to compare before and after.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: &'static str,
    pub mode: u32,
    /// Seconds and nanoseconds.
    pub modified: (i64, i64),
    /// A file's bytes, or a link's target.
    pub content: Vec<u8>,
    /// The first path (in order) that is the same file.
    pub same_as: Option<PathBuf>,
    /// `user.*` attributes.
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The entries of a tree, by path below its top; the top itself is the empty path.
pub type Snapshot = BTreeMap<PathBuf, Entry>;

/// Reads a tree, as root, without following links.
pub fn snapshot(top: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    let mut first = BTreeMap::new();
    add(top, Path::new(""), &mut all, &mut first);
    all
}

fn add(top: &Path, below: &Path, all: &mut Snapshot, first: &mut BTreeMap<(u64, u64), PathBuf>) {
    let path = if below.as_os_str().is_empty() { top.to_path_buf() } else { top.join(below) };
    let found = fs::symlink_metadata(&path).unwrap();
    let kind = match found.file_type() {
        kind if kind.is_dir() => "directory",
        kind if kind.is_file() => "file",
        kind if kind.is_symlink() => "link",
        kind if kind.is_fifo() => "fifo",
        kind if kind.is_socket() => "socket",
        _ => "device",
    };
    let content = match kind {
        "file" => fs::read(&path).unwrap(),
        "link" => fs::read_link(&path).unwrap().into_os_string().into_vec(),
        _ => Vec::new(),
    };
    let same_as = if kind != "directory" && found.nlink() > 1 {
        let name = first.entry((found.dev(), found.ino())).or_insert_with(|| below.to_path_buf());
        (name != below).then(|| name.clone())
    } else {
        None
    };
    let entry = Entry {
        kind,
        mode: if kind == "link" { 0o777 } else { found.mode() & 0o7777 },
        modified: (found.mtime(), found.mtime_nsec()),
        content,
        same_as,
        attributes: if matches!(kind, "file" | "directory") {
            attributes(&path)
        } else {
            BTreeMap::new()
        },
    };
    all.insert(below.to_path_buf(), entry);
    if kind == "directory" {
        let mut names: Vec<OsString> =
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            add(top, &below.join(name), all, first);
        }
    }
}

/// The `user.*` attributes, read with getfattr(1) and not with the code under test.
fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let output = std::process::Command::new("getfattr")
        .args(["--dump", "--absolute-names", "--encoding=hex", "--"])
        .arg(path)
        .output()
        .expect("getfattr is installed: run ci/provision");
    let lines =
        output.stdout.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"user."));
    lines
        .map(|line| {
            let equals = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
            (line[..equals].to_vec(), line[equals..].to_vec())
        })
        .collect()
}

/// Sets a `user.*` attribute with setfattr(1).
pub fn set_attribute(path: &Path, name: &str, value: &str) {
    let set = std::process::Command::new("setfattr")
        .args(["-n", name, "-v", value, "--"])
        .arg(path)
        .status();
    assert!(set.expect("setfattr is installed: run ci/provision").success());
}

/// Sets the modification time, of a link itself.
pub fn set_modified(path: &Path, seconds: i64, nanoseconds: i64) {
    use nix::sys::stat::{UtimensatFlags, utimensat};
    use nix::sys::time::TimeSpec;
    let time = TimeSpec::new(seconds, nanoseconds);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
}

/// Makes a FIFO.
pub fn make_fifo(path: &Path) {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
}
