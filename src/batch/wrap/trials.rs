//! The directory in which an examination of the node (`doctor --condor`) tries switchers, and what
//! an examination that was killed has left there.
//!
//! ```text
//! <directory>            0711
//!   trials               locked (shared) while an examination runs
//!   doctor               1777: the sandboxes of trials
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::{Context as _, Result};
use sys::flock::{self, Lock};
use sys::{Errno, file, process};

use super::settings::Settings;
use super::slot::{make_directory, make_top};
use super::sweep::remove;
use crate::batch::doctor;
use crate::batch::pilot::step_log::StepLog;

const LOCK: &str = "trials";
const DIRECTORY: &str = "doctor";

/// How long to wait for a sweep, which ends processes.
const LIMIT: Duration = Duration::from_secs(60);

/// The directory of an examination that runs.
#[derive(Debug)]
pub struct Trials {
    /// Its path.
    pub path: PathBuf,
    _lock: File,
}

/// Makes the directory. No sweep touches it before the value is dropped.
pub fn begin(directory: &Path) -> Result<Trials> {
    make_top(directory)?;
    let path = directory.join(DIRECTORY);
    make_directory(&path, 0o1777)?;
    let lock = open_lock(directory)?;
    flock::lock(&lock, Lock::Shared, LIMIT).at("lock", directory.join(LOCK))?;
    Ok(Trials { path, _lock: lock })
}

/// Removes what examinations that were killed have left, unless one runs now.
pub fn sweep(settings: &Settings, directory: &Path, step_log: &mut StepLog<'_>) -> Result<()> {
    let path = directory.join(DIRECTORY);
    if !path.is_dir() {
        return Ok(());
    }
    let lock = open_lock(directory)?;
    match flock::lock(&lock, Lock::Exclusive, Duration::ZERO) {
        Err(Errno::EAGAIN) => return Ok(()),
        locked => locked.at("lock", directory.join(LOCK))?,
    }
    // Other users can make entries here. A sandbox has one that is this user's as long as it needs
    // a switcher to be removed.
    let is_own = |entry: &std::fs::DirEntry| {
        entry.metadata().is_ok_and(|found| found.uid() == process::geteuid().as_raw())
    };
    let entries = std::fs::read_dir(&path).at("read the directory", &path)?;
    let own = entries.filter_map(std::result::Result::ok).filter(is_own);
    let names: BTreeSet<_> =
        own.filter_map(|entry| doctor::name_of_trial(&entry.file_name())).collect();
    let mut failure = None;
    for path in names.into_iter().map(|name| path.join(name)) {
        failure = failure.or(remove(settings, &path, step_log).err());
    }
    failure.map_or(Ok(()), Err)
}

fn open_lock(directory: &Path) -> Result<File> {
    let path = directory.join(LOCK);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(file::NOFOLLOW_NONBLOCK).open(&path).at("open", path)
}
