//! Sandboxes with content, and checks before and after a hand-over.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::snapshot::{Snapshot, snapshot};
use super::{Account, PROXY, Site, messages, own, owner, retained, wait_until, write};

pub const SETUP: &str = "condor_glexec_setup";
pub const CLEANUP: &str = "condor_glexec_cleanup";
pub const UPDATE: &str = "condor_glexec_update_proxy";
pub const KILL: &str = "condor_glexec_kill";
pub const AGENT: &str = "condor_glexec_agent";

/// A name for an action on a path, and the action.
pub type PendingRename<'a> = (&'a str, &'a dyn Fn(&Path));

/// Names that a shell, a parser of options or a decoder of text can misread.
pub const ODD: [&[u8]; 9] = [
    b"-rf",
    b"two words",
    b"it's \"q\"",
    b"$(touch x)",
    b"new\nline",
    b"\xff",
    b"a;b|c&d",
    b"*",
    b"back\\slash",
];

/// Makes a file, a link, and a directory with another file.
pub fn fill(top: &Path) {
    write(top.join("input"), "the input", 0o644);
    symlink("input", top.join("link")).unwrap();
    fs::create_dir(top.join("below")).unwrap();
    write(top.join("below/script"), "#!/bin/sh\n", 0o755);
}

/// A sandbox with that content.
pub fn filled(site: &Site, name: impl AsRef<OsStr>) -> PathBuf {
    let sandbox = site.sandbox(name);
    fill(&sandbox);
    own(&sandbox, Account::batch());
    sandbox
}

/// A sandbox with that content that is set up.
pub fn handed_over(site: &Site, name: impl AsRef<OsStr>) -> PathBuf {
    let sandbox = filled(site, name);
    site.set_up(&sandbox);
    sandbox
}

/// A snapshot without the proxy, which is written anew.
pub fn data(sandbox: &Path) -> Snapshot {
    let mut all = snapshot(sandbox);
    all.remove(Path::new(PROXY));
    all
}

pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

pub fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

pub fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

pub fn run(program: &str, arguments: &[&OsStr]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("the program is not installed: run ci/provision");
    assert!(output.status.success(), "{program} {arguments:?}: {}", messages(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails unless every entry of the tree belongs to the account.
pub fn assert_owner(path: &Path, account: Account) {
    for below in snapshot(path).keys() {
        assert_eq!(owner(&path.join(below)), account, "{}", below.display());
    }
}

/// Fails unless the sandbox is back: it belongs to the batch user, has this data and the retained
/// proxy, and nothing is beside it.
pub fn assert_is_back(site: &Site, sandbox: &Path, expected: &Snapshot, what: &str) {
    assert_eq!(site.entries(), [sandbox.file_name().unwrap()], "{what}");
    assert_eq!(data(sandbox), *expected, "{what}");
    assert_eq!(text(sandbox.join(PROXY)), "the proxy\n", "{what}");
    assert_owner(sandbox, Account::batch());
}

/// Fails unless the sandbox is still set up.
pub fn assert_is_handed_over(site: &Site, sandbox: &Path, what: &str) {
    let name = sandbox.file_name().unwrap();
    // The child of setup may still delete the old data.
    let kept = retained(sandbox);
    let expected = [name, kept.file_name().unwrap()];
    wait_until(&format!("only the sandbox and the retained directory exist: {what}"), || {
        site.entries() == expected && fs::read_dir(&kept).unwrap().count() == 1
    });
    assert_owner(sandbox, Account::job());
    assert_owner(&retained(sandbox), Account::batch());
    assert_eq!(
        snapshot(&retained(sandbox)).into_keys().collect::<Vec<_>>(),
        [Path::new(""), Path::new(PROXY)]
    );
}

/// Sends what `fill` makes in both directions. Returns what setup found and made of it, and what
/// the job left and cleanup made of it. `finish` does what a change of the owner would undo.
pub fn across_and(fill: impl Fn(&Path), finish: impl Fn(&Path)) -> [(Snapshot, Snapshot); 2] {
    let site = Site::new();
    let make = |sandbox: &Path, account| {
        fill(sandbox);
        own(sandbox, account);
        finish(sandbox);
    };
    let (given, left) = (site.sandbox("given"), site.sandbox("left"));
    make(&given, Account::batch());
    let found = snapshot(&given);
    // In this order, because of Account::job.
    site.set_up(&left);
    site.set_up(&given);
    make(&left, Account::job());
    let of_job = data(&left);
    site.clean_up(&left);
    [(found, snapshot(&given)), (of_job, data(&left))]
}

pub fn across(fill: impl Fn(&Path)) -> [(Snapshot, Snapshot); 2] {
    across_and(fill, |_| ())
}

/// Fails unless what `fill` makes is preserved in both directions.
pub fn comes_across(fill: impl Fn(&Path)) {
    for (before, after) in across(fill) {
        assert_eq!(after, before);
    }
}

/// A new proxy in a directory of the batch user.
pub fn new_proxy(site: &Site, content: &str) -> PathBuf {
    let path = site.scratch().join("new proxy");
    write(&path, content, 0o600);
    own(&path, Account::batch());
    path
}

pub fn update(site: &Site, switcher: &Path, new: &Path, sandbox: &Path) -> Command {
    let mut command = site.helper(UPDATE);
    command.arg(switcher).arg(new).arg(PROXY).arg(sandbox);
    command
}

/// Fails unless this copy of the proxy is a file of the account with this content and mode 0600.
pub fn holds(directory: &Path, content: &str, account: Account) {
    let proxy = directory.join(PROXY);
    assert!(fs::symlink_metadata(&proxy).unwrap().is_file());
    assert_eq!((text(&proxy).as_str(), mode(&proxy), owner(&proxy)), (content, 0o600, account));
}

pub fn kill(site: &Site, switcher: &Path, sandbox: &Path, pid: u32, signal: &str) -> Command {
    let mut command = site.helper(KILL);
    command.arg(switcher).arg(retained(sandbox).join(PROXY)).args([
        &pid.to_string(),
        signal,
        "2",
        "0",
    ]);
    command
}

/// The value of a field of a log line, up to the next comma or brace.
pub fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) =
        line.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name} in {line}"));
    rest.split([',', '}']).next().unwrap()
}
