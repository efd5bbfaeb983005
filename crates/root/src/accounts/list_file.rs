//! A file with a list, which is read again when it has changed.

use std::fmt;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use command::utc;
use error::{Context as _, Error};
use hooks::trust::{self, Owners};

use super::{BadLine, LONGEST};
use crate::trusted;

/// A list in a file, and what was last read of it.
#[derive(Debug)]
pub struct ListFile<T> {
    path: PathBuf,
    parse: fn(&[u8], &Path) -> Result<T, BadLine>,
    /// Of the file that was read last, with success or without; none if it must be read.
    read: Option<Version>,
    /// The error that was last returned.
    error: Option<String>,
}

/// Why a list cannot be used. `Display` gives one line: what is wrong, on what, why, what to do.
#[derive(Debug)]
pub enum ListError {
    /// The file does not exist, cannot be read, or is not trusted.
    File(Error),
    /// A line is wrong.
    Line(BadLine),
}

/// What differs between two contents of a path.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl<T> ListFile<T> {
    /// A list that was not read yet.
    pub fn new(
        path: impl Into<PathBuf>,
        parse: fn(&[u8], &Path) -> Result<T, BadLine>,
    ) -> ListFile<T> {
        ListFile { path: path.into(), parse, read: None, error: None }
    }

    /// The list, if the file has changed since the last call; the first call always reads. After an
    /// error the caller goes on with the list that it has. An error is returned once: the next
    /// calls return nothing until the file, or the error, is another one.
    ///
    /// The file must be a regular file of root's with mode 0600 and one name, and no other user can
    /// have changed it or its path.
    pub fn changed(&mut self) -> Result<Option<T>, ListError> {
        let result = self.read_if_changed();
        match &result {
            Err(error) => {
                let said = error.to_string();
                if self.error.as_ref() == Some(&said) {
                    return Ok(None);
                }
                self.error = Some(said);
            }
            Ok(Some(_)) => self.error = None,
            Ok(None) => {}
        }
        result
    }

    fn read_if_changed(&mut self) -> Result<Option<T>, ListError> {
        // It was trusted when it was read, and no mode, owner or name of it has changed since.
        let same = |read: &Version| {
            std::fs::symlink_metadata(&self.path).is_ok_and(|found| Version::of(&found) == *read)
        };
        if self.read.as_ref().is_some_and(same) {
            return Ok(None);
        }
        let (file, found) = match open(&self.path) {
            Ok(opened) => opened,
            Err(error) => {
                self.read = None;
                return Err(ListError::File(error));
            }
        };
        let version = Version::of(&found);
        let is_settled = version.is_settled(utc::now());
        // Before it is read: a change while it is read is noticed by the next call.
        self.read = is_settled.then_some(version);
        let text = trusted::content(file, &self.path, LONGEST).map_err(ListError::File)?;
        (self.parse)(&text, &self.path).map(Some).map_err(ListError::Line)
    }
}

/// Reads a list once.
pub fn read<T>(path: &Path, parse: fn(&[u8], &Path) -> Result<T, BadLine>) -> Result<T, ListError> {
    let (file, _) = open(path).map_err(ListError::File)?;
    let text = trusted::content(file, path, LONGEST).map_err(ListError::File)?;
    parse(&text, path).map_err(ListError::Line)
}

/// Opens a list, if it is trusted.
pub(super) fn open(path: &Path) -> error::Result<(File, Metadata)> {
    let file = trust::open(path, &Owners::ROOT)?;
    let found = file.metadata().at("examine", path)?;
    let mode = found.mode() & 0o7777;
    if mode & !0o600 != 0 {
        let why = format!("its mode is {mode:04o}: run chmod 600 on it");
        return Err(Error::refused(path, why));
    }
    if found.nlink() != 1 {
        let why = "it has more than one hard link: remove the other names";
        return Err(Error::refused(path, why));
    }
    Ok((file, found))
}

impl Version {
    fn of(found: &Metadata) -> Version {
        Version {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// Whether a later change has another time. The clock of a file system has steps of some
    /// milliseconds, and on some file systems of a second: two changes in one step look the same.
    fn is_settled(&self, now: Duration) -> bool {
        const STEP: i64 = 2;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        now.abs_diff(self.changed.0) > STEP.unsigned_abs()
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListError::File(error) => error.fmt(f),
            ListError::Line(bad) => bad.fmt(f),
        }
    }
}

impl std::error::Error for ListError {}

impl From<ListError> for command::Refusal {
    fn from(error: ListError) -> Self {
        command::Refusal::internal(error.to_string())
    }
}
