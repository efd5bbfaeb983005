//! The table of leases: a directory for each account below /run/glexec/accounts, which only root
//! can enter.
//!
//! ```text
//! lock                     locked while a lease begins or ends
//! <account>/use            locked, shared, by each process that uses the account; exclusively by
//!                          one that reserves it, or cleans it after a lease
//! <account>/lease.<uid>    the lease of the client with this user id
//! <account>/over.<uid>     a lease of an owner's that is over: the audit may not have its end yet
//! <account>/ending         a guest's lease that is over: the account is not clean yet
//! <account>/quarantine     why the account could not be cleaned
//! <account>/new            a lease that is being written
//! <account>/payloads/      see [`super::payloads`]
//! ```
//!
//! A lease is a file that is made and removed by one rename or unlink, and what uses it is a lock.
//! So after a kill of any process, at any moment, the files say what is the case.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::flock::{self, Lock};
use sys::{Errno, Name, Uid, errno};

use super::audit::Holding;
use super::record::LeaseRecord;

/// The directory of all that the daemon knows of its accounts.
pub(super) const DIRECTORY: &str = "/run/glexec/accounts";

/// While this file exists no new lease begins.
pub const DRAIN: &str = "/run/glexec/drain";

/// How long a call waits for others that begin or end a lease. These take milliseconds.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The locked table.
pub(super) struct Table {
    _lock: File,
}

impl Table {
    /// Locks the table. It must not be locked while anything is waited for.
    pub(super) fn lock() -> Result<Table> {
        let path = Path::new(DIRECTORY).join("lock");
        let lock = open(&path)?;
        flock::lock(&lock, Lock::Exclusive, TIMEOUT)
            .map_err(|cause| failed("lock", &path, cause))?;
        Ok(Table { _lock: lock })
    }
}

/// The directory of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    path: PathBuf,
}

impl Slot {
    /// The directory of the account with this name; it may not exist.
    pub(super) fn of(account: &[u8]) -> Result<Slot> {
        let name = Name::new(account).ok_or_else(|| {
            Refusal::internal(format!("{} is not the name of an account", Shown(account)))
        })?;
        Ok(Slot { path: Path::new(DIRECTORY).join(name.os()) })
    }

    /// The directories of all accounts that have one.
    pub(super) fn all() -> Result<Vec<Slot>> {
        let entries = match fs::read_dir(DIRECTORY) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => {
                entries.map_err(|error| failed("read", Path::new(DIRECTORY), errno(&error)))?
            }
        };
        let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        Ok(entries
            .flatten()
            .filter(is_directory)
            .map(|entry| Slot { path: entry.path() })
            .collect())
    }

    /// The name of the account.
    pub(super) fn account(&self) -> &[u8] {
        self.path.file_name().unwrap_or_default().as_bytes()
    }

    /// The directory of the payloads.
    pub(super) fn payloads(&self) -> PathBuf {
        self.path.join("payloads")
    }

    /// The file that processes lock which use the account.
    pub(super) fn open_use(&self) -> Result<File> {
        open(&self.path.join("use"))
    }

    /// Whether the account was used since the start of the machine.
    pub(super) fn is_used(&self) -> bool {
        self.path.join("use").exists()
    }

    /// When the account was used last; none if it never was.
    pub(super) fn last_use(&self) -> Option<SystemTime> {
        fs::metadata(self.path.join("use")).and_then(|found| found.modified()).ok()
    }

    /// The leases of the account. A damaged record is left out; its file keeps the account leased.
    pub(super) fn leases(&self) -> Vec<LeaseRecord> {
        self.lease_files()
            .iter()
            .filter_map(|path| LeaseRecord::parse(&fs::read(path).ok()?))
            .collect()
    }

    /// The lease that is over, while the account is cleaned.
    pub(super) fn ending(&self) -> Option<LeaseRecord> {
        LeaseRecord::parse(&fs::read(self.path.join("ending")).ok()?)
    }

    fn lease_files(&self) -> Vec<PathBuf> {
        self.files(b"lease.")
    }

    /// The files whose names begin so.
    fn files(&self, prefix: &[u8]) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let is_named = |entry: &fs::DirEntry| entry.file_name().as_bytes().starts_with(prefix);
        entries.filter(is_named).map(|entry| entry.path()).collect()
    }

    /// The lease of a client.
    pub(super) fn lease_of(&self, client: Uid) -> Option<LeaseRecord> {
        LeaseRecord::parse(&fs::read(self.lease_path(client)).ok()?)
    }

    fn lease_path(&self, client: Uid) -> PathBuf {
        self.path.join(format!("lease.{client}"))
    }

    /// Writes the record of a lease, in one step, while the table is locked. So there is one new
    /// file at a time, and one of a killed process is overwritten.
    pub(super) fn write(&self, record: &LeaseRecord) -> Result<()> {
        let temporary = self.path.join("new");
        let path = self.lease_path(record.client);
        let written = open_with(&temporary, true)?
            .write_all(record.to_text().as_bytes())
            .and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            failed("write", &path, errno(&error))
        })
    }

    /// Ends a client's lease of an account with an owner; its record stays.
    pub(super) fn mark_over(&self, client: Uid) -> Result<()> {
        let (path, over) = (self.lease_path(client), self.over_path(client));
        fs::rename(&path, &over).map_err(|error| failed("rename", &path, errno(&error)))
    }

    /// The records of such leases.
    pub(super) fn over(&self) -> Vec<LeaseRecord> {
        let files = self.files(b"over.");
        files.iter().filter_map(|path| LeaseRecord::parse(&fs::read(path).ok()?)).collect()
    }

    /// Forgets such a lease.
    pub(super) fn forget_over(&self, client: Uid) -> Result<()> {
        remove(&self.over_path(client))
    }

    fn over_path(&self, client: Uid) -> PathBuf {
        self.path.join(format!("over.{client}"))
    }

    /// Marks an account without a lease as one that is not clean.
    pub(super) fn mark_unclean(&self) -> Result<()> {
        open(&self.path.join("ending")).map(drop)
    }

    /// Marks the account as one whose lease is over: it is not clean.
    pub(super) fn mark_ending(&self) -> Result<()> {
        let to = self.path.join("ending");
        for path in self.lease_files() {
            fs::rename(&path, &to).map_err(|error| failed("rename", &path, errno(&error)))?;
        }
        Ok(())
    }

    /// Whether the account's last lease is over, and it is not clean.
    pub(super) fn is_ending(&self) -> bool {
        self.path.join("ending").exists()
    }

    /// Notes that the account is clean.
    pub(super) fn mark_clean(&self) -> Result<()> {
        remove(&self.path.join("quarantine"))?;
        remove(&self.path.join("ending"))
    }

    /// Why the account could not be cleaned, if that is so.
    pub(super) fn quarantine(&self) -> Option<String> {
        let text = fs::read(self.path.join("quarantine")).ok()?;
        Some(String::from_utf8_lossy(text.trim_ascii_end()).into_owned())
    }

    /// Notes that the account could not be cleaned.
    pub(super) fn set_quarantine(&self, why: &str) -> Result<()> {
        let path = self.path.join("quarantine");
        let made = fs::write(&path, format!("{}\n", Shown(why.as_bytes())));
        made.map_err(|error| failed("write", &path, errno(&error)))
    }

    /// Whether a guest has the account, or has left something there.
    pub(super) fn is_of_guest(&self) -> bool {
        self.is_ending()
            || self.quarantine().is_some()
            || self.leases().iter().any(|lease| lease.holding == Holding::Guest)
    }

    /// Whether the account has neither a lease nor anything that is left of one.
    pub(super) fn is_free(&self) -> bool {
        self.lease_files().is_empty() && !self.is_ending() && self.quarantine().is_none()
    }
}

/// Makes or removes [`DRAIN`], in one step with the leases that begin. Returns whether that is a
/// change.
pub(super) fn set_drain(drains: bool) -> Result<bool> {
    let _table = Table::lock()?;
    let path = Path::new(DRAIN);
    let changed = match drains {
        true => File::options().write(true).create_new(true).mode(0o600).open(path).map(drop),
        false => fs::remove_file(path),
    };
    match changed {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {
            Ok(false)
        }
        Err(error) => Err(failed("change", path, errno(&error))),
    }
}

/// Makes a directory that only root can enter, in /run/glexec, which every user can enter.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    let make = |path: &Path, mode: u32| match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    let made = match make(path, 0o700) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mask = sys::process::umask(0o022);
            let above = make(Path::new(crate::SESSION_REGISTRY), 0o755)
                .and_then(|()| make(Path::new(DIRECTORY), 0o700));
            sys::process::umask(mask);
            above.and_then(|()| make(path, 0o700))
        }
        made => made,
    };
    made.map_err(|error| failed("make", path, errno(&error)))
}

/// Opens a file to lock it, and makes it if it does not exist, with its directory.
pub(super) fn open(path: &Path) -> Result<File> {
    open_with(path, false)
}

/// The same; with `empties` the file is empty then.
fn open_with(path: &Path, empties: bool) -> Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(empties).mode(0o600);
    let opened = match (options.open(path), path.parent()) {
        (Err(error), Some(directory)) if error.kind() == ErrorKind::NotFound => {
            make_directory(directory)?;
            options.open(path)
        }
        (opened, _) => opened,
    };
    opened.map_err(|error| failed("open", path, errno(&error)))
}

/// Removes a file, if it exists.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|error| failed("remove", path, errno(&error))),
    }
}

/// A step on a file of the table that has failed.
pub(super) fn failed(step: &str, path: &Path, cause: Errno) -> Refusal {
    let what_to_do = match cause {
        Errno::ENOSPC | Errno::EDQUOT => ": an administrator can make room there",
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => ": try again later",
        _ => "",
    };
    Refusal::internal(format!("cannot {step} {}: {cause}{what_to_do}", Shown::os(path)))
}

/// The seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
