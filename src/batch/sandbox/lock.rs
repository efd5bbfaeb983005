//! The lock (flock(2)) that a pilot holds on its sandbox's directory. A helper that a starter calls
//! does not take it.

use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use error::{Context as _, Error, Result};
use sys::flock::Lock;
use sys::{Errno, Kind, Name, OwnedName, Pid, Uid, file, flock, proc, process};

use super::Sandbox;

/// How long to wait for the lock: a child of a pilot that was killed holds it until it executes its
/// program.
const LIMIT: Duration = Duration::from_millis(500);

impl Sandbox {
    /// Keeps other pilots from working on the sandbox until the returned files are closed. It is an
    /// error if one does now.
    pub fn lock(&self) -> Result<Vec<File>> {
        let is_own = |name: &Name<'_>| {
            let found = self.place.parent.stat(*name);
            found.is_ok_and(|found| found.kind() == Kind::Directory && found.uid() == self.user)
        };
        let names = [self.place.name.name(), self.retained.name()].into_iter().filter(is_own);
        names.map(|name| lock(&self.place.path_of(name))).collect()
    }

    /// The same by the retained directory alone, while the sandbox becomes another user's.
    pub fn lock_retained(&self) -> Result<File> {
        lock(&self.retained_path())
    }

    /// The same for the batch user's leftovers beside the sandbox: a pilot may be making a sandbox
    /// of one.
    pub fn lock_leftovers(&self) -> Result<Vec<File>> {
        let leftovers = self.place.leftovers_of(self.user);
        leftovers.iter().map(OwnedName::name).map(|name| lock(&self.place.path_of(name))).collect()
    }
}

fn lock(path: &Path) -> Result<File> {
    let flags = file::NOFOLLOW_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path).at("open", path)?;
    match flock::lock(&file, Lock::Exclusive, LIMIT) {
        Err(Errno::EAGAIN) if is_locked_by_another_user(&file) => Ok(file),
        Err(Errno::EAGAIN) => Err(Error::refused(path, "a running pilot works on it")),
        // The file system has no locks.
        Err(Errno::ENOLCK | Errno::EOPNOTSUPP) => Ok(file),
        locked => locked.at("lock", path).map(|()| file),
    }
}

/// Whether the process that has locked a file is another user's, and not root's: no pilot of this
/// user. A payload
/// that has had the sandbox may have let another account open it, which waits for the lock.
///
/// A process in another pid namespace is not known here (proc_locks(5)): it may be a pilot.
fn is_locked_by_another_user(file: &File) -> bool {
    let (Ok(found), Ok(locks)) = (file.metadata(), std::fs::read_to_string("/proc/locks")) else {
        return false;
    };
    let inode = format!(":{}", found.ino());
    let holder = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, _, pid, file, ..] if file.ends_with(&inode) => pid.parse::<i32>().ok(),
            _ => None,
        }
    };
    let holders: Vec<i32> = locks.lines().filter_map(holder).collect();
    let is_others = |pid: &i32| {
        let uids = proc::real_and_saved_uid(Pid::from_raw(*pid));
        let is_trusted = |uid: &Uid| *uid == process::geteuid() || uid.is_root();
        *pid > 0 && uids.is_none_or(|uids| !uids.iter().any(is_trusted))
    };
    !holders.is_empty() && holders.iter().all(is_others)
}
