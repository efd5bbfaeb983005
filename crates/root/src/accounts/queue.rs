//! The queue of calls that wait for a guest account: one file for each in /run/glexec/queue, which
//! the call locks. Names are in the order in which the calls came; a file whose lock is free
//! belongs to a call that was killed.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use command::refusal::Result;
use sys::errno;
use sys::flock::{self, Lock};

use super::table::{Table, failed, open};

const DIRECTORY: &str = "/run/glexec/queue";

/// The place of a call in the queue. It leaves the queue when this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    path: PathBuf,
    _lock: File,
}

impl Ticket {
    /// Joins the queue. With the table locked no other call has the same time.
    pub(super) fn take(_table: &Table) -> Result<Ticket> {
        let directory = Path::new(DIRECTORY);
        if !directory.exists() {
            let made = fs::DirBuilder::new().mode(0o700).create(directory);
            made.map_err(|error| failed("make", directory, errno(&error)))?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let path = directory.join(format!("{now:020}.{}", std::process::id()));
        let lock = open(&path)?;
        flock::lock(&lock, Lock::Exclusive, Duration::ZERO)
            .map_err(|cause| failed("lock", &path, cause))?;
        Ok(Ticket { path, _lock: lock })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// How many calls are before this one; all that wait, for a call that does not. Files of killed
/// calls are removed.
pub(super) fn before(_table: &Table, ticket: Option<&Ticket>) -> usize {
    let own = ticket.and_then(|ticket| ticket.path.file_name());
    let entries = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let is_before =
        |entry: &fs::DirEntry| own.is_none_or(|own| entry.file_name().as_bytes() < own.as_bytes());
    let waits = |entry: fs::DirEntry| {
        let Ok(file) = File::options().write(true).open(entry.path()) else { return false };
        match flock::lock(&file, Lock::Exclusive, Duration::ZERO) {
            Ok(()) => {
                let _ = fs::remove_file(entry.path());
                false
            }
            Err(_) => true,
        }
    };
    entries.filter(is_before).filter_map(|entry| waits(entry).then_some(())).count()
}
