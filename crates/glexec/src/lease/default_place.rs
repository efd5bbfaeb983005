//! The default directory of a user's leases, in which all ids are claimed, also where
//! `GLEXEC_STATE_DIR` names another directory.
//!
//! All calls of the user must find the same directory, and its parent is one where every user can
//! make names: `/var/tmp/glexec-<uid>` can belong to another user already. Then the directory has a
//! name that cannot be predicted, `/var/tmp/glexec-<uid>.<random>`, and is found by its owner and
//! mode: no user can make a directory that another user owns.
//!
//! The owner of the first name can remove it at any time, and two calls can each make a directory.
//! So one directory is marked, while all candidates are locked. Of two calls that each make a
//! directory, at least one lists the candidates after both are made: it finds the other's, waits
//! for its lock, and finds the mark.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::Uid;
use sys::flock::{self, Lock};

use super::table::{LOCK_TIMEOUT, is_private};

/// On this machine, accessible to all processes of the user, and kept over a restart, as sandboxes
/// are.
const PARENT: &str = "/var/tmp";

/// The file that marks the directory.
const MARK: &str = "leases";

/// Finds the directory, or makes it.
pub(crate) fn find(user: Uid) -> Result<PathBuf> {
    let first = Path::new(PARENT).join(format!("glexec-{user}"));
    let until = Instant::now() + LOCK_TIMEOUT;
    while Instant::now() < until {
        match fs::symlink_metadata(&first) {
            Ok(found) if is_private(&found) && is_marked(&first) => return Ok(first),
            Ok(found) if found.uid() == user.as_raw() && found.is_dir() && !is_private(&found) => {
                let shown = Shown::os(&first);
                return Err(Refusal::internal(format!(
                    "the directory of your leases, {shown}, is accessible to group or others; run \
                     chmod 700 {shown}"
                )));
            }
            _ => {}
        }
        let found = list(&first)?;
        if found.is_empty() {
            make(&first)?;
        } else if let Some(marked) = mark_one(&first, &found)? {
            return Ok(marked);
        }
    }
    Err(Refusal::internal(format!(
        "cannot find or make the directory of your leases in {PARENT}: its entries glexec-{user}* \
         change all the time"
    )))
}

/// The directory, if it has been made and marked. Nothing is made.
pub(crate) fn existing(user: Uid) -> Result<Option<PathBuf>> {
    let candidates = list(&Path::new(PARENT).join(format!("glexec-{user}")))?;
    Ok(candidates.into_iter().find(|path| path.join(MARK).exists()))
}

/// The candidates, sorted.
fn list(first: &Path) -> Result<Vec<PathBuf>> {
    list_entries(first)
        .map_err(|error| failed("look for the directory of leases in", PARENT, error))
}

fn list_entries(first: &Path) -> std::io::Result<Vec<PathBuf>> {
    let name = first.file_name().unwrap_or_default().as_bytes();
    let has_name = |found: &[u8]| match found.strip_prefix(name) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"."),
        None => false,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(PARENT)? {
        let entry = entry?;
        if has_name(entry.file_name().as_bytes())
            && entry.metadata().is_ok_and(|found| is_private(&found))
        {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Makes a candidate.
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

/// The marked one of these candidates; if none is, the first is marked. None if the candidates have
/// changed meanwhile.
fn mark_one(first: &Path, found: &[PathBuf]) -> Result<Option<PathBuf>> {
    let mut locks = Vec::new();
    for path in found {
        let lock = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => {
                opened.map_err(|error| failed("open the directory of leases", path, error))?
            }
        };
        flock::lock(&lock, Lock::Exclusive, LOCK_TIMEOUT)
            .map_err(|cause| failed("lock the directory of leases", path, cause.into()))?;
        locks.push(lock);
    }
    if list(first)? != found {
        return Ok(None);
    }
    let marked = found.iter().find(|path| is_marked(path)).or_else(|| found.first());
    let Some(path) = marked else { return Ok(None) };
    let mark =
        File::options().write(true).create(true).truncate(false).mode(0o600).open(path.join(MARK));
    mark.map_err(|error| failed("mark the directory of leases", path, error))?;
    // The others are not needed. One that is not empty stays.
    for other in found.iter().filter(|other| *other != path) {
        let _ = fs::remove_dir(other);
    }
    Ok(Some(path.clone()))
}

/// Whether a directory has the mark. Programs that remove old files see a new use of the mark then.
fn is_marked(directory: &Path) -> bool {
    let mark = File::options().write(true).open(directory.join(MARK));
    mark.is_ok_and(|mark| mark.set_modified(SystemTime::now()).is_ok())
}

fn failed(step: &str, path: impl AsRef<Path>, error: std::io::Error) -> Refusal {
    Refusal::internal(format!("cannot {step} {}: {error}", Shown::os(path.as_ref())))
}
