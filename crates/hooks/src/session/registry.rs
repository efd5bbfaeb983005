//! The registry of sessions: one directory for each, with one file for each fact.
//!
//! ```text
//! sessions/<id>/<fact>      also: lock, directories, planned, started
//! users/<name>/<id>         a link to ../../sessions/<id>
//! ```
//!
//! The processes of a session hold a lock on its file `lock`. So an entry whose file can be locked
//! belongs to a call that was killed. Entries are made, claimed and removed while the file `lock`
//! beside `sessions` is locked: an entry without a lock is one whose making or removal was
//! interrupted. No other user can open these files, and so lock them; a directory can be.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::{Context as _, Result};
use sys::flock::{self, Lock};
use sys::{Name, errno, process};

use super::facts::{CREDENTIAL, Facts};

/// How long a call waits for others that make, claim or remove an entry.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The directory of all sessions of a machine, or of a user.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    directory: PathBuf,
}

/// The entry of a session, whose lock this process holds.
#[derive(Debug)]
pub(crate) struct Entry {
    registry: Registry,
    path: PathBuf,
    user: Vec<u8>,
    /// The lock, until it is closed in all processes that share it.
    pub(crate) lock: File,
}

impl Registry {
    pub(crate) fn new(directory: &Path) -> Registry {
        Registry { directory: directory.to_owned() }
    }

    fn sessions(&self) -> PathBuf {
        self.directory.join("sessions")
    }

    fn user(&self, user: &[u8]) -> Option<PathBuf> {
        Some(self.directory.join("users").join(Name::new(user)?.os()))
    }

    /// Whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        fs::read_dir(self.sessions()).map_or(true, |mut entries| entries.next().is_none())
    }

    /// Locks the registry against other calls.
    fn lock(&self) -> Result<File> {
        let path = self.directory.join("lock");
        let opened =
            File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = opened.map_err(|error| errno(&error)).at("open", &path)?;
        flock::lock(&lock, Lock::Exclusive, TIMEOUT).at("lock", &path)?;
        Ok(lock)
    }

    /// Makes the entry of a session that begins.
    pub(crate) fn create(&self, facts: &Facts, directories: &[PathBuf]) -> Result<Entry> {
        let mask = process::umask(0o022);
        let created = self.create_readable(facts, directories);
        process::umask(mask);
        created
    }

    fn create_readable(&self, facts: &Facts, directories: &[PathBuf]) -> Result<Entry> {
        for directory in [self.directory.clone(), self.sessions(), self.directory.join("users")] {
            make_directory(&directory)?;
        }
        let _lock = self.lock()?;
        let path = self.sessions().join(&facts.id);
        let make = |path: &Path| fs::DirBuilder::new().mode(0o755).create(path);
        make(&path).map_err(|error| errno(&error)).at("make", &path)?;
        let lock = create(&path.join("lock"), 0o600)?;
        flock::lock(&lock, Lock::Exclusive, TIMEOUT).at("lock", &path)?;
        for (name, content) in facts.files() {
            let mode = if name == CREDENTIAL { 0o600 } else { 0o644 };
            write(&path.join(name), mode, &content)?;
        }
        let mut list = Vec::new();
        for directory in directories {
            list.extend_from_slice(directory.as_os_str().as_bytes());
            list.push(0);
        }
        write(&path.join("directories"), 0o600, &list)?;
        if let Some(user) = self.user(&facts.user) {
            make_directory(&user)?;
            let target = Path::new("../../sessions").join(&facts.id);
            let link = user.join(&facts.id);
            symlink(target, &link).map_err(|error| errno(&error)).at("make", &link)?;
        }
        Ok(Entry { registry: self.clone(), path, user: facts.user.clone(), lock })
    }

    /// Takes the entries of sessions for which no process lives, in the order of their ids. What
    /// was never complete is removed: no script has run for it.
    pub(crate) fn claim(&self) -> Result<Vec<(Entry, Facts)>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let _lock = self.lock()?;
        let mut claimed = Vec::new();
        for path in entries(&self.sessions()) {
            let Ok(lock) = File::options().write(true).open(path.join("lock")) else {
                let _ = fs::remove_dir_all(&path);
                continue;
            };
            if flock::lock(&lock, Lock::Exclusive, Duration::ZERO).is_err() {
                continue;
            }
            let facts = Facts::from_files(|name| fs::read(path.join(name)).ok());
            let user = facts.as_ref().map(|facts| facts.user.clone()).unwrap_or_default();
            let entry = Entry { registry: self.clone(), path, user, lock };
            match facts.filter(|_| entry.path.join("directories").exists()) {
                Some(facts) => claimed.push((entry, facts)),
                None => entry.delete(),
            }
        }
        Ok(claimed)
    }
}

/// The sessions whose processes live, by the registry in a directory, in the order of their ids.
pub fn list(directory: &Path) -> Vec<Facts> {
    let facts = |path: PathBuf| Facts::from_files(|name| fs::read(path.join(name)).ok());
    let found = entries(&Registry::new(directory).sessions()).into_iter().filter_map(facts);
    found.filter(|facts| process::exists(facts.pid)).collect()
}

impl Entry {
    /// The directories of scripts that the session has begun with.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let list = fs::read(self.path.join("directories")).unwrap_or_default();
        let paths = list.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        paths.map(|path| std::ffi::OsString::from_vec(path.to_vec()).into()).collect()
    }

    /// The file that pam_script's scripts can write to (PAM_SCRIPT_INFO).
    pub(crate) fn info(&self) -> PathBuf {
        self.path.join("pam_script_info")
    }

    /// Adds lines to a list of this entry.
    pub(crate) fn append(&self, list: &str, lines: &[String]) -> Result<()> {
        let path = self.path.join(list);
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let opened = File::options().append(true).create(true).mode(0o600).open(&path);
        let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| errno(&error)).at("write", &path)
    }

    /// The lines of a list of this entry.
    pub(crate) fn lines(&self, list: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path.join(list)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Removes the entry. What cannot be removed stays for the next call.
    pub(crate) fn remove(&self) {
        let _lock = self.registry.lock();
        self.delete();
    }

    fn delete(&self) {
        // Of an entry that was not complete, the user is not known.
        let users = match self.registry.user(&self.user) {
            Some(user) => vec![user],
            None => entries(&self.registry.directory.join("users")),
        };
        for user in users {
            let _ = fs::remove_file(user.join(self.path.file_name().unwrap_or_default()));
            let _ = fs::remove_dir(user);
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The paths of the entries of a directory, sorted.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = listing.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Makes a directory that other users can read, unless it exists.
fn make_directory(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(errno(&error)).at("make", path)
        }
        _ => Ok(()),
    }
}

fn create(path: &Path, mode: u32) -> Result<File> {
    let opened = File::options().write(true).create_new(true).mode(mode).open(path);
    opened.map_err(|error| errno(&error)).at("make", path)
}

fn write(path: &Path, mode: u32, content: &[u8]) -> Result<()> {
    let written = create(path, mode)?.write_all(content);
    written.map_err(|error| errno(&error)).at("write", path)
}
