//! A table of leases: a directory of the caller's, under one lock.
//!
//! It holds
//!
//! - a file for each user id that is leased, by its number: the guards of the calls that are made
//!   with it, and the credential's place and path. Each is replaced at one stroke, and what a
//!   killed call leaves is a lease like any other;
//! - `<uid>.calls`, which the calls of a lease lock together;
//! - `free`: the ids that were leased before, a line each, in the order in which they were given
//!   back;
//! - `<uid>.claim`, in the one table that no variable moves: the place and path of the lease, which
//!   is in another table.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use error::Shown;
use sys::fd::{self, Lock};
use sys::{Pid, Uid, mount, process};

use super::credential::Credential;
use super::holder::Holder;
use super::refusal::{Refusal, Result};

/// So long a call waits for others to start their payloads.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// After so long that counts as gone whose place cannot be seen.
const UNSEEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// The table, as long as nobody else can change it.
#[derive(Debug)]
pub struct Table {
    /// Its absolute path, with no link on the way.
    directory: PathBuf,
    /// The directory itself, locked: a file in it could be replaced while it is locked, and tools
    /// that clean up leave a locked directory alone.
    lock: File,
}

/// What the table says of one user id.
#[derive(Debug)]
pub struct Entry {
    /// The user id.
    pub user: Uid,
    /// Whose it is; none if the file tells nothing, as after a loss of power.
    pub credential: Option<Credential>,
    /// The guards of the calls that are made with it.
    pub holders: Vec<Holder>,
    /// When it was used last.
    pub used: SystemTime,
}

impl Table {
    /// Opens the table in this directory, which is made if it is not there, and waits for its turn,
    /// at most so long.
    pub fn lock(directory: &Path, patience: Duration) -> Result<Table> {
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
        if !is_own(&found) {
            return Err(Refusal::internal(format!(
                "{} is not a directory of yours that is closed to others (GLEXEC_STATE_DIR): name another one, or chmod 700 it",
                Shown::os(directory)
            )));
        }
        let lock = File::open(directory).map_err(|error| failed("lock", error))?;
        fd::lock(&lock, Lock::Alone, patience).map_err(|cause| failed("lock", cause.into()))?;
        let directory = directory.canonicalize().map_err(|error| failed("find", error))?;
        Ok(Table { directory, lock })
    }

    /// Whether this is its directory.
    pub fn is_in(&self, directory: &Path) -> bool {
        let identity =
            |path: &Path| fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()));
        identity(&self.directory) == identity(directory)
    }

    /// All that is leased.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for (user, file) in self.files("")? {
            let (used, content) = self.read(&file)?;
            let (credential, holders) = parse(&content).unzip();
            entries.push(Entry { user, credential, holders: holders.unwrap_or_default(), used });
        }
        Ok(entries)
    }

    /// Writes what there is to say of an id that is leased.
    pub fn hold(
        &self,
        user: Uid,
        credential: &Credential,
        holders: impl Iterator<Item = Holder>,
    ) -> Result<()> {
        let holders: Vec<String> =
            holders.map(|Holder { pid, started }| format!("{pid} {started}")).collect();
        let Credential { path, place } = credential;
        self.write(
            &user.to_string(),
            &[holders.join(",").as_bytes(), place, path.as_os_str().as_bytes()].join(&0),
        )
    }

    /// The ids that were leased before, those first that were given back first.
    pub fn free(&self) -> Result<Vec<Uid>> {
        match fs::read_to_string(self.directory.join("free")) {
            Ok(text) => {
                Ok(text.lines().filter_map(|line| line.parse().ok().map(Uid::from_raw)).collect())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    /// Gives back an id that is leased, or was claimed; with what there is of it.
    pub fn give_back(&self, user: Uid) -> Result<()> {
        let free = self.free()?.into_iter().filter(|free| *free != user).chain([user]);
        self.write("free", free.map(|user| format!("{user}\n")).collect::<String>().as_bytes())?;
        for file in [self.path(user), self.calls_of(user), self.claim_of(user)] {
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

    /// The file that the calls of a lease lock together, and who ends it alone.
    pub fn calls(&self, user: Uid) -> Result<File> {
        let path = self.calls_of(user);
        let opened =
            File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        opened.map_err(|error| {
            Refusal::internal(format!("cannot open {}: {error}", Shown::os(&path)))
        })
    }

    /// Says that a lease is used, to those who clean up what is old.
    pub fn touch(&self, user: Uid) -> std::io::Result<()> {
        match File::options().write(true).open(self.path(user)) {
            Ok(lease) => lease.set_modified(SystemTime::now()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The ids that are claimed for leases in other tables, with the files of these.
    pub fn claims(&self) -> Result<Vec<(Uid, PathBuf)>> {
        let mut claims = Vec::new();
        for (user, file) in self.files(".claim")? {
            let (used, content) = self.read(&file)?;
            match parse(&content) {
                Some((lease, _)) if !is_gone(&lease, used) => claims.push((user, lease.path)),
                _ => self.give_back(user)?,
            }
        }
        Ok(claims)
    }

    /// Claims an id for a lease in another table.
    pub fn claim(&self, user: Uid, other: &Table) -> Result<()> {
        let path = other.path(user);
        let place = mount::place_of(&path).map_err(|cause| {
            Refusal::internal(format!(
                "cannot find the file system of {}: {cause}",
                Shown::os(&other.directory)
            ))
        })?;
        self.write(
            &format!("{user}.claim"),
            &[b"", &place[..], path.as_os_str().as_bytes()].join(&0),
        )
    }

    /// Whether an id is claimed for this table's lease, in the table of that directory; the claim
    /// is in use then, as above.
    pub fn has_claimed(&self, user: Uid, usual: &Path) -> bool {
        let claim = usual.join(format!("{user}.claim"));
        let is_own = |content: Vec<u8>| {
            parse(&content).is_some_and(|(lease, _)| lease.path == self.path(user))
        };
        let touch = || {
            File::options()
                .write(true)
                .open(&claim)
                .and_then(|file| file.set_modified(SystemTime::now()))
        };
        fs::read(&claim).is_ok_and(is_own) && touch().is_ok()
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let (new, path) = (self.directory.join("new"), self.directory.join(name));
        let mut options = File::options();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
        let written = opened
            .and_then(|mut file| file.write_all(content))
            .and_then(|()| fs::rename(&new, &path));
        written.map_err(|error| {
            Refusal::internal(format!("cannot write the lease {}: {error}", Shown::os(&path)))
        })
    }

    /// The files that are named after a user id.
    fn files(&self, kind: &str) -> Result<Vec<(Uid, PathBuf)>> {
        let listing = fs::read_dir(&self.directory).map_err(|error| self.unreadable(error))?;
        let user =
            |name: &OsStr| name.to_str()?.strip_suffix(kind)?.parse().ok().map(Uid::from_raw);
        Ok(listing
            .flatten()
            .filter_map(|entry| Some((user(&entry.file_name())?, entry.path())))
            .collect())
    }

    fn read(&self, file: &Path) -> Result<(SystemTime, Vec<u8>)> {
        let used = fs::symlink_metadata(file).and_then(|found| found.modified());
        let read = used.and_then(|used| Ok((used, fs::read(file)?)));
        read.map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, error: std::io::Error) -> Refusal {
        Refusal::internal(format!(
            "cannot read the leases in {}: {error}",
            Shown::os(&self.directory)
        ))
    }

    fn path(&self, user: Uid) -> PathBuf {
        self.directory.join(user.to_string())
    }

    fn calls_of(&self, user: Uid) -> PathBuf {
        self.directory.join(format!("{user}.calls"))
    }

    fn claim_of(&self, user: Uid) -> PathBuf {
        self.directory.join(format!("{user}.claim"))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // The guard has a copy of the descriptor: closing ours would not do.
        fd::unlock(&self.lock);
    }
}

/// Whether this is a directory of the caller's that is closed to others.
pub fn is_own(found: &fs::Metadata) -> bool {
    found.is_dir() && found.uid() == process::user().as_raw() && found.mode() & 0o077 == 0
}

/// Whether a file does not exist any more: its place can be seen from here, and there is nothing.
/// Where it cannot, as in another mount namespace, it counts as gone when it was not used for long:
/// a restart of the machine can give another number to its file system.
pub fn is_gone(file: &Credential, used: SystemTime) -> bool {
    let gone = |error: std::io::Error| {
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
    };
    if !fs::symlink_metadata(&file.path).is_err_and(gone) {
        return false;
    }
    let is_seen = mount::place_of(&file.path).is_ok_and(|place| place == file.place);
    is_seen || used.elapsed().is_ok_and(|time| time > UNSEEN)
}

fn parse(content: &[u8]) -> Option<(Credential, Vec<Holder>)> {
    let mut parts = content.split(|byte| *byte == 0);
    let holder = |word: &str| {
        let (pid, started) = word.split_once(' ')?;
        Some(Holder { pid: pid.parse().ok().map(Pid::from_raw)?, started: started.parse().ok()? })
    };
    let holders = std::str::from_utf8(parts.next()?).ok()?.split(',').filter_map(holder).collect();
    let (place, path) = (parts.next()?.to_vec(), PathBuf::from(OsStr::from_bytes(parts.next()?)));
    Some((Credential { path, place }, holders))
}
