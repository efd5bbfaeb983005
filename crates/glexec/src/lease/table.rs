//! The table of leases: a directory of the caller's under one lock. Only this file knows the names
//! and the content of the files in it:
//!
//! - `<uid>`, the entry of a leased user id: the guards of the calls that use the lease, and the
//!   credential's location. It is replaced by one rename, so that a killed call leaves a whole one;
//! - `<uid>.calls`, locked (shared) by each call that uses the lease;
//! - `free`: the ids that were leased before, one a line, in the order of their release;
//! - `<uid>.claim`, in the default table only: the location of the entry of a lease that is in
//!   another table.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use command::refusal::{Refusal, Result};
use command::replace::replace;
use error::Shown;
use sys::flock::{self, Lock};
use sys::{Pid, Uid, process};

use super::guard_id::GuardId;
use crate::location::Location;

/// How long a call waits for other calls that have the table locked while they start payloads.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// A table that this process has locked.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its absolute path, without symbolic links.
    directory: PathBuf,
    /// The directory itself is locked: a lock file in it could be replaced, and programs that
    /// remove old files leave a locked directory alone.
    lock: File,
}

/// The entry of a leased user id.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The user id.
    pub(crate) user: Uid,
    /// The credential that has the lease; none if the file is damaged, as after a power failure.
    pub(crate) credential: Option<Location>,
    /// The guards of the calls that use the lease.
    pub(crate) guards: Vec<GuardId>,
    /// When the lease was last used.
    pub(crate) last_use: SystemTime,
}

/// The claim of a user id for a lease in another table.
#[derive(Debug)]
pub(crate) struct Claim {
    /// The user id.
    pub(crate) user: Uid,
    /// The lease's entry in that table; none if the file is damaged.
    pub(crate) entry: Option<Location>,
    /// When the claim was last used.
    pub(crate) last_use: SystemTime,
}

impl Table {
    /// Locks the table in this directory, which is made if it does not exist. Waits for other calls
    /// until the timeout.
    pub(crate) fn lock(directory: &Path, timeout: Duration) -> Result<Table> {
        let failed = |what: &str, error: std::io::Error| {
            Refusal::internal(format!(
                "cannot {what} the directory of leases {}: {error}",
                Shown::os(directory)
            ))
        };
        match fs::DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(failed("make", error));
            }
            _ => {}
        }
        let found = fs::symlink_metadata(directory).map_err(|error| failed("examine", error))?;
        if !is_private(&found) {
            return Err(Refusal::internal(format!(
                "the directory of leases {} (GLEXEC_STATE_DIR) is not a directory that you own and \
                 that is closed to group and others: name another one, or run chmod 700 on it",
                Shown::os(directory)
            )));
        }
        let lock = File::open(directory).map_err(|error| failed("open", error))?;
        flock::lock(&lock, Lock::Exclusive, timeout)
            .map_err(|cause| failed("lock", cause.into()))?;
        let directory = directory.canonicalize().map_err(|error| failed("resolve", error))?;
        Ok(Table { directory, lock })
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether this directory is the table's.
    pub(crate) fn is_in(&self, directory: &Path) -> bool {
        let identity =
            |path: &Path| fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()));
        identity(&self.directory) == identity(directory)
    }

    /// Reads all entries.
    pub(crate) fn read_entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for (user, file) in self.files("")? {
            let (last_use, content) = self.read(&file)?;
            let (credential, guards) = parse(&content).unzip();
            let guards = guards.unwrap_or_default();
            entries.push(Entry { user, credential, guards, last_use });
        }
        Ok(entries)
    }

    /// Writes the entry of a leased id.
    pub(crate) fn write_entry(
        &self,
        user: Uid,
        credential: &Location,
        guards: impl Iterator<Item = GuardId>,
    ) -> Result<()> {
        let guards: Vec<String> =
            guards.map(|GuardId { pid, started }| format!("{pid} {started}")).collect();
        self.write(&self.entry_file(user), &format(&guards.join(","), credential))
    }

    /// Opens the file that the calls of a lease lock.
    pub(crate) fn open_calls_file(&self, user: Uid) -> Result<File> {
        let path = self.calls_file(user);
        let opened =
            File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        opened.map_err(|error| {
            Refusal::internal(format!("cannot open {}: {error}", Shown::os(&path)))
        })
    }

    /// Sets the time of the last use of an entry and of its calls file, which programs that remove
    /// old files go by. A new lease has no entry yet.
    pub(crate) fn touch(&self, user: Uid, calls: &File) -> std::io::Result<()> {
        let now = SystemTime::now();
        calls.set_modified(now)?;
        match File::options().write(true).open(self.entry_file(user)) {
            Ok(entry) => entry.set_modified(now),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads the ids that were leased before, in the order of their release.
    pub(crate) fn read_released(&self) -> Result<Vec<Uid>> {
        match fs::read_to_string(self.released_file()) {
            Ok(text) => {
                let users = text.lines().filter_map(|line| line.parse().ok());
                Ok(users.map(Uid::from_raw).collect())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    /// Releases an id that is leased or claimed: it becomes the last of the released ones, and its
    /// files are removed.
    pub(crate) fn release(&self, user: Uid) -> Result<()> {
        let released = self.read_released()?;
        let released = released.into_iter().filter(|other| *other != user).chain([user]);
        let lines: String = released.map(|user| format!("{user}\n")).collect();
        self.write(&self.released_file(), lines.as_bytes())?;
        for file in [self.entry_file(user), self.calls_file(user), self.claim_file(user)] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Refusal::internal(format!(
                        "cannot remove {}: {error}",
                        Shown::os(&file)
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads all claims.
    pub(crate) fn read_claims(&self) -> Result<Vec<Claim>> {
        let mut claims = Vec::new();
        for (user, file) in self.files(CLAIM)? {
            let (last_use, content) = self.read(&file)?;
            let entry = parse(&content).map(|(entry, _)| entry);
            claims.push(Claim { user, entry, last_use });
        }
        Ok(claims)
    }

    /// Claims an id for a lease in another table.
    pub(crate) fn write_claim(&self, user: Uid, other: &Table) -> Result<()> {
        let entry = Location::of(other.entry_file(user)).map_err(|cause| {
            Refusal::internal(format!(
                "cannot find the file system of {}: {cause}",
                Shown::os(&other.directory)
            ))
        })?;
        self.write(&self.claim_file(user), &format("", &entry))
    }

    /// Whether an id is claimed for this table's lease in the default table, which need not be
    /// locked. Sets the time of the claim's last use then.
    pub(crate) fn renew_claim(&self, user: Uid, default: &Path) -> bool {
        let claim = default.join(format!("{user}{CLAIM}"));
        let is_own = |content: Vec<u8>| {
            parse(&content).is_some_and(|(entry, _)| entry.path == self.entry_file(user))
        };
        let touch = || File::options().write(true).open(&claim)?.set_modified(SystemTime::now());
        fs::read(&claim).is_ok_and(is_own) && touch().is_ok()
    }

    /// Replaces a file. One temporary name is enough under the lock.
    fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        replace(path, &self.directory.join("new"), content).map_err(|error| {
            Refusal::internal(format!("cannot write the lease {}: {error}", Shown::os(path)))
        })
    }

    /// The files whose names are a user id and this suffix.
    fn files(&self, suffix: &str) -> Result<Vec<(Uid, PathBuf)>> {
        let listing = fs::read_dir(&self.directory).map_err(|error| self.unreadable(error))?;
        let user =
            |name: &OsStr| name.to_str()?.strip_suffix(suffix)?.parse().ok().map(Uid::from_raw);
        Ok(listing
            .flatten()
            .filter_map(|entry| Some((user(&entry.file_name())?, entry.path())))
            .collect())
    }

    /// When a file was last used, and its content.
    fn read(&self, file: &Path) -> Result<(SystemTime, Vec<u8>)> {
        let last_use = fs::symlink_metadata(file).and_then(|found| found.modified());
        let read = last_use.and_then(|last_use| Ok((last_use, fs::read(file)?)));
        read.map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, error: std::io::Error) -> Refusal {
        Refusal::internal(format!(
            "cannot read the leases in {}: {error}",
            Shown::os(&self.directory)
        ))
    }

    fn entry_file(&self, user: Uid) -> PathBuf {
        self.directory.join(user.to_string())
    }

    fn calls_file(&self, user: Uid) -> PathBuf {
        self.directory.join(format!("{user}.calls"))
    }

    fn claim_file(&self, user: Uid) -> PathBuf {
        self.directory.join(format!("{user}{CLAIM}"))
    }

    fn released_file(&self) -> PathBuf {
        self.directory.join("free")
    }
}

/// The user ids that are leased or claimed in a table that need not be locked: each file is whole,
/// but the table can change meanwhile. Those whose lease is over are not among them.
pub(crate) fn leased_without_lock(directory: &Path) -> std::io::Result<Vec<Uid>> {
    let mut leased = Vec::new();
    for listed in fs::read_dir(directory)? {
        let name = listed?.file_name();
        let name = name.to_str().unwrap_or_default();
        let path = directory.join(name);
        let (user, is_leased) = match name.strip_suffix(CLAIM) {
            // The credential is named in the entry of the other table.
            Some(user) => (user, existing(&path).is_some_and(|entry| existing(&entry).is_some())),
            None => (name, existing(&path).is_some()),
        };
        match user.parse() {
            Ok(user) if is_leased => leased.push(Uid::from_raw(user)),
            _ => {}
        }
    }
    Ok(leased)
}

/// The path that an entry or a claim names, if that file exists. A lease that ends meanwhile has no
/// entry.
fn existing(file: &Path) -> Option<PathBuf> {
    let last_use = fs::symlink_metadata(file).and_then(|found| found.modified()).ok()?;
    let (location, _) = parse(&fs::read(file).ok()?)?;
    (!location.is_gone(last_use)).then_some(location.path)
}

/// The end of the name of a claim.
const CLAIM: &str = ".claim";

impl Drop for Table {
    fn drop(&mut self) {
        // The guard has a copy of the descriptor: closing this one would not unlock the table.
        flock::unlock(&self.lock);
    }
}

/// Whether this is a directory of the caller's that is closed to group and others.
pub(crate) fn is_private(found: &fs::Metadata) -> bool {
    found.is_dir() && found.uid() == process::geteuid().as_raw() && found.mode() & 0o077 == 0
}

/// The content of an entry or a claim: guards, place and path, separated by NUL.
fn format(guards: &str, Location { path, place }: &Location) -> Vec<u8> {
    [guards.as_bytes(), place, path.as_os_str().as_bytes()].join(&0)
}

/// Reads what [`format()`] has made.
fn parse(content: &[u8]) -> Option<(Location, Vec<GuardId>)> {
    let mut parts = content.split(|byte| *byte == 0);
    let guard = |word: &str| {
        let (pid, started) = word.split_once(' ')?;
        Some(GuardId { pid: Pid::from_raw(pid.parse().ok()?), started: started.parse().ok()? })
    };
    let guards = std::str::from_utf8(parts.next()?).ok()?.split(',').filter_map(guard).collect();
    let (place, path) = (parts.next()?.to_vec(), PathBuf::from(OsStr::from_bytes(parts.next()?)));
    Some((Location { path, place }, guards))
}
