//! A tree whose owner changes, and the program that changes it.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{Account, SUBORDINATE, Site, is_rootless, messages, program, write};

/// The job user of these trees: a subordinate id of the batch user, and not one of other tests that
/// run at the same time.
pub fn job() -> Account {
    let id = SUBORDINATE.end - 1;
    if is_rootless() { Account::job() } else { Account { uid: id, gid: id } }
}

/// A place for trees, with one tree of the job user.
pub struct Tree {
    pub site: Site,
    pub top: PathBuf,
}

impl Tree {
    /// A tree with an empty top.
    pub fn new() -> Tree {
        let site = Site::new();
        let top = site.execute().join("tree");
        fs::create_dir(&top).unwrap();
        super::handover::set_mode(&top, 0o755);
        job().owns(&top);
        Tree { site, top }
    }

    /// Writes a file of the job user.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.top.join(name);
        write(&path, content, mode);
        job().owns(&path);
        super::handover::set_mode(&path, mode);
        path
    }

    /// Makes a directory of the job user.
    pub fn directory(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.top.join(name);
        fs::create_dir(&path).unwrap();
        job().owns(&path);
        super::handover::set_mode(&path, mode);
        path
    }

    /// The program, as the batch user.
    pub fn program(&self, what: &str) -> Command {
        let mut command = Account::batch().command(program("examples/owner"));
        command.arg(job().uid.to_string()).arg(what).arg(&self.top).stdin(Stdio::null());
        command
    }

    /// Runs the program.
    pub fn run(&self, what: &str) -> Output {
        self.program(what).output().unwrap()
    }

    /// Runs the program, which must succeed; what it says.
    pub fn done(&self, what: &str) -> String {
        let output = self.run(what);
        assert_eq!((output.status.code(), messages(&output).as_str()), (Some(0), ""), "{what}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Puts copies in the place of links, as the job user.
    pub fn copy_link_targets(&self) -> String {
        let mut command = job().command(program("examples/owner"));
        let output = command.args(["-", "link-targets"]).arg(&self.top).output().unwrap();
        assert_eq!((output.status.code(), messages(&output).as_str()), (Some(0), ""));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Takes the tree back, as the job left it.
    pub fn taken(&self) -> String {
        self.done("take")
    }

    /// Fails unless each entry of the tree is the batch user's, and nothing is beside it.
    pub fn is_back(&self) {
        super::handover::assert_owner(&self.top, Account::batch());
        assert_eq!(self.site.entries(), ["tree"]);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.top.join(name)
    }
}

/// A number of what the program says.
pub fn number(messages: &str, field: &str) -> u64 {
    let (_, rest) =
        messages.split_once(&format!("{field}: ")).unwrap_or_else(|| panic!("{messages}"));
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// A shell script that an account runs with an open file as its input; what it says.
pub fn shell_with(account: Account, input: OwnedFd, script: &str) -> Output {
    let mut shell = account.command("/bin/sh");
    shell.args(["-c", script]).stdin(Stdio::from(input));
    shell.output().unwrap()
}

/// Opens a file without any access.
pub fn open_path(path: &Path) -> OwnedFd {
    use nix::fcntl::{OFlag, open};
    open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty()).unwrap()
}

/// A file of the job user, opened for writing.
pub fn open_to_write(path: &Path) -> File {
    File::options().write(true).open(path).unwrap()
}

/// The inode of an entry.
pub fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}
