//! The directory that holds a user's leases unless a variable names another one, and to which all
//! ids are claimed in any case.
//!
//! All calls of the user must find the same, and it stands where every user can make names:
//! `/var/tmp/glexec-<uid>` can be somebody else's already. Then it is one with a name that cannot
//! be foreseen, `/var/tmp/glexec-<uid>.<random>`, and found by its owner: nobody can make a
//! directory that is another user's, closed to all others.
//!
//! Whoever had the first name may give it up at any moment, and two calls may each make a
//! directory. So it is decided once which of them it is: by a mark that is put into one, while all
//! of them are locked. Of two calls that each make a directory, one at least looks for others after
//! both are made; it sees the other's, waits for its lock, and finds the mark.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use error::Shown;
use sys::Uid;
use sys::fd::{self, Lock};

use super::refusal::{Refusal, Result};
use super::table::{PATIENCE, is_own};

/// On this machine, there for all of the user's processes, and kept over a restart, as sandboxes
/// are.
const PARENT: &str = "/var/tmp";

/// The file that marks the directory.
const MARK: &str = "leases";

/// Finds it, or makes it.
pub fn directory(user: Uid) -> Result<PathBuf> {
    let first = Path::new(PARENT).join(format!("glexec-{user}"));
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match fs::symlink_metadata(&first) {
            Ok(found) if is_own(&found) && is_marked(&first) => return Ok(first),
            Ok(found) if found.uid() == user.as_raw() && found.is_dir() && !is_own(&found) => {
                let shown = Shown::os(&first);
                return Err(Refusal::internal(format!(
                    "{shown}, where your leases are, is open to others: chmod 700 it"
                )));
            }
            _ => {}
        }
        let found = all(&first)
            .map_err(|error| failed("look for the directory of leases in", PARENT, error))?;
        if found.is_empty() {
            make(&first)?;
        } else if let Some(decided) = decide(&first, &found)? {
            return Ok(decided);
        }
    }
    Err(Refusal::internal(format!(
        "cannot decide where in {PARENT} your leases are: others make directories all the time"
    )))
}

/// The directories that it can be, sorted.
fn all(first: &Path) -> std::io::Result<Vec<PathBuf>> {
    let name = first.file_name().unwrap_or_default().as_bytes();
    let is_one = |found: &[u8]| match found.strip_prefix(name) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"."),
        None => false,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(PARENT)? {
        let entry = entry?;
        if is_one(entry.file_name().as_bytes())
            && entry.metadata().is_ok_and(|found| is_own(&found))
        {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Makes one more.
fn make(first: &Path) -> Result<()> {
    let make = |path: &Path| match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(failed("make the directory of leases", path, error))
        }
        made => Ok(made.is_ok()),
    };
    if !make(first)? {
        make(&PathBuf::from(format!("{}.{:08x}", first.display(), fastrand::u32(..))))?;
    }
    Ok(())
}

/// The one of these that is marked, or else gets the mark. None if there are others by now.
fn decide(first: &Path, found: &[PathBuf]) -> Result<Option<PathBuf>> {
    let mut locks = Vec::new();
    for path in found {
        let lock = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => {
                opened.map_err(|error| failed("open the directory of leases", path, error))?
            }
        };
        fd::lock(&lock, Lock::Alone, PATIENCE)
            .map_err(|cause| failed("lock the directory of leases", path, cause.into()))?;
        locks.push(lock);
    }
    if all(first).map_err(|error| failed("look for the directory of leases in", PARENT, error))?
        != found
    {
        return Ok(None);
    }
    let marked = found.iter().find(|path| is_marked(path)).or_else(|| found.first());
    let Some(path) = marked else { return Ok(None) };
    let mark =
        File::options().write(true).create(true).truncate(false).mode(0o600).open(path.join(MARK));
    mark.map_err(|error| failed("mark the directory of leases", path, error))?;
    // The others are of no use. What is not empty stays.
    for other in found.iter().filter(|other| *other != path) {
        let _ = fs::remove_dir(other);
    }
    Ok(Some(path.clone()))
}

/// Whether it has the mark; which is in use then, as those see it who clean up what is old.
fn is_marked(directory: &Path) -> bool {
    let mark = File::options().write(true).open(directory.join(MARK));
    mark.is_ok_and(|mark| mark.set_modified(SystemTime::now()).is_ok())
}

fn failed(what: &str, path: impl AsRef<Path>, error: std::io::Error) -> Refusal {
    Refusal::internal(format!("cannot {what} {}: {error}", Shown::os(path.as_ref())))
}
