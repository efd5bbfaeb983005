//! One group.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::flock::{self, Lock};
use sys::{Errno, Pid};

use super::files;
use super::place::{self, Enabled};

/// What the names of groups begin with.
const PREFIX: &str = "glexec_helpers.";

/// How long the processes of a group may take to end after SIGKILL.
const END_TIME: Duration = Duration::from_secs(5);

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
    directory: PathBuf,
    /// The directory, locked.
    lock: Option<File>,
    /// What else is undone after it.
    enabled: Option<Box<Enabled>>,
}

impl Group {
    /// Makes a group in this directory.
    pub(crate) fn make(place: &Path) -> Result<Group> {
        let mut tries = 0;
        loop {
            let directory = place.join(format!("{PREFIX}{:08x}", fastrand::u32(..)));
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
        Ok(Group { directory, lock: Some(file), enabled: None })
    }

    /// The same; these controllers are disabled after it.
    pub(crate) fn with_enabled(mut self, enabled: Enabled) -> Group {
        self.enabled = Some(Box::new(enabled));
        self
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a limit, or a setting, to its file of this name.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        files::write(&self.directory, name, value)
    }

    /// Moves a process into it. This user must be allowed to write to the `cgroup.procs` of the
    /// group above that process and this group.
    pub fn add(&self, pid: Pid) -> Result<()> {
        place::add(&self.directory, pid)
    }

    /// Its processes.
    pub fn processes(&self) -> Vec<Pid> {
        files::processes(&self.directory)
    }

    /// The processor time of all processes that are or were in it, in user mode and in the kernel.
    /// The kernel counts it without a controller.
    pub fn times(&self) -> Option<[Duration; 2]> {
        let time = |word| files::number_of(&self.directory, "cpu.stat", word);
        Some([time("user_usec")?, time("system_usec")?].map(Duration::from_micros))
    }

    /// The number in a file of it; none if it has no such file, or no number in it.
    pub fn number(&self, name: &str) -> Option<u64> {
        files::number(&self.directory, name)
    }

    /// The number behind a word in a file of it, such as that of an event.
    pub fn number_of(&self, name: &str, word: &str) -> Option<u64> {
        files::number_of(&self.directory, name, word)
    }

    /// The sum of the numbers behind a prefix of the words in a file of it; none if there is none.
    pub fn sum_of(&self, name: &str, prefix: &str) -> Option<u64> {
        files::sum_of(&self.directory, name, prefix)
    }

    /// Ends all its processes, and removes it.
    pub fn remove(mut self) -> Result<()> {
        self.end()
    }

    /// Leaves it to itself if it still has processes, and removes it otherwise.
    pub(crate) fn release(mut self) {
        let _ = fs::remove_dir(&self.directory);
        self.lock = None;
    }

    fn end(&mut self) -> Result<()> {
        let Some(_lock) = self.lock.take() else { return Ok(()) };
        // Before Linux 5.14 there is no such file, and this user may not signal the processes.
        let killed = files::write(&self.directory, "cgroup.kill", "1");
        let end = Instant::now() + END_TIME;
        let removed = loop {
            match fs::remove_dir(&self.directory).map_err(|error| sys::errno(&error)) {
                Err(Errno::EBUSY) if killed.is_ok() && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(()) | Err(Errno::ENOENT) => break Ok(()),
                Err(Errno::EBUSY) => {
                    let why = "processes in it do not end; it is removed later";
                    break Err(Error::refused(&self.directory, why));
                }
                Err(cause) => break Err(cause).at("remove the group", &self.directory),
            }
        };
        self.enabled = None;
        removed
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
