//! One group.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use error::{Context as _, Result};
use sys::Errno;
use sys::flock::{self, Lock};

use super::cgroup::Cgroup;
use super::place::Enabled;

/// What the names of groups begin with.
const PREFIX: &str = "glexec_helpers.";

/// How often a name, or a lock, is tried: another process may remove a group that is not locked
/// yet.
const TRIES: u32 = 5;

/// Whether an entry of a directory is a group of this crate.
pub(crate) fn is_group_name(name: &OsStr) -> bool {
    name.as_bytes().starts_with(PREFIX.as_bytes())
}

/// A group that this process has made, or found without an owner. Dropped, it is ended and removed.
#[derive(Debug)]
pub struct Group {
    cgroup: Cgroup,
    /// Its directory, locked.
    lock: Option<File>,
    /// What else is undone after it.
    enabled: Option<Box<Enabled>>,
}

impl Group {
    /// Makes a group in this one.
    pub(crate) fn make(place: &Cgroup) -> Result<Group> {
        let mut tries = 0;
        loop {
            let directory = place.path().join(format!("{PREFIX}{:08x}", fastrand::u32(..)));
            tries += 1;
            let made = fs::create_dir(&directory).map_err(|error| sys::errno(&error));
            match made.at("make the group", &directory) {
                Ok(()) => {}
                Err(_) if tries < TRIES && directory.exists() => continue,
                Err(error) => return Err(error),
            }
            match Group::open(directory, Duration::from_secs(1)) {
                Ok(group) => return Ok(group),
                Err(_) if tries < TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Locks a group; it must still exist then.
    pub(crate) fn open(directory: PathBuf, timeout: Duration) -> Result<Group> {
        let file = File::open(&directory).map_err(|error| sys::errno(&error));
        let file = file.at("open the group", &directory)?;
        flock::lock(&file, Lock::Exclusive, timeout).at("lock the group", &directory)?;
        if !directory.join("cgroup.procs").exists() {
            return Err(Errno::ENOENT).at("open the group", &directory);
        }
        Ok(Group { cgroup: Cgroup::at(directory), lock: Some(file), enabled: None })
    }

    /// The same; these controllers are disabled after it.
    pub(crate) fn with_enabled(mut self, enabled: Enabled) -> Group {
        self.enabled = Some(Box::new(enabled));
        self
    }

    /// The group itself.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Ends all its processes, and removes it.
    pub fn remove(mut self) -> Result<()> {
        self.end()
    }

    /// Leaves it to itself if it still has processes, and removes it otherwise.
    pub(crate) fn release(mut self) {
        self.cgroup.remove_if_empty();
        self.lock = None;
    }

    fn end(&mut self) -> Result<()> {
        let Some(_lock) = self.lock.take() else { return Ok(()) };
        let ended = self.cgroup.end();
        self.enabled = None;
        ended
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
