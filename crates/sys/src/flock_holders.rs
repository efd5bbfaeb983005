//! Which processes have a file locked by flock(2), as the kernel tells it (proc_locks(5)).

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;

use super::{Errno, Pid, Result, errno, pidfd};

/// The processes that have locked a file as [`super::flock::Lock::Shared`]. One that has ended is
/// there, too, as long as another one has its open file.
pub fn sharing(file: &File) -> Result<Vec<Pid>> {
    let file = name(file)?;
    let text = fs::read_to_string("/proc/locks").map_err(|error| errno(&error))?;
    let lock = |line: &str| lock(line, &file).filter(|lock| lock.is_shared);
    Ok(text.lines().filter_map(lock).map(|lock| lock.pid).collect())
}

/// Opens a process, if it has the lock of a file: ESRCH if it has not. A lock that it has then is
/// that of the process which is open, and of no later one with the same id.
pub fn open(pid: Pid, file: &File) -> Result<OwnedFd> {
    let process = pidfd::open(pid)?;
    let file = name(file)?;
    // Looked at after the process is open. If it has ended since then, a signal to it fails.
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).map_err(|error| errno(&error))?;
    let has_lock = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        text.lines()
            .any(|line| line.strip_prefix("lock:").is_some_and(|line| lock(line, &file).is_some()))
    };
    match entries.flatten().any(has_lock) {
        true => Ok(process),
        false => Err(Errno::ESRCH),
    }
}

/// A lock.
#[derive(Debug, PartialEq, Eq)]
struct Lock {
    pid: Pid,
    is_shared: bool,
}

/// The name of a file in these lines: device and inode.
fn name(file: &File) -> Result<String> {
    let found = file.metadata().map_err(|error| errno(&error))?;
    let (major, minor) = (libc::major(found.dev()), libc::minor(found.dev()));
    Ok(format!("{major:02x}:{minor:02x}:{}", found.ino()))
}

/// The lock of a line, if it is one on this file: `1: FLOCK  ADVISORY  READ 7 08:01:99 0 EOF`. One
/// that is waited for has `->` before its kind, and is none.
fn lock(line: &str, file: &str) -> Option<Lock> {
    let mut words = line.split_whitespace().skip(1);
    if words.next() != Some("FLOCK") {
        return None;
    }
    let (kind, pid) = (words.nth(1)?, words.next()?.parse().ok()?);
    let is_same = words.next() == Some(file);
    (is_same && pid > 0).then(|| Lock { pid: Pid::from_raw(pid), is_shared: kind == "READ" })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{flock, process};

    #[test]
    fn a_process_has_a_file_locked_as_long_as_it_is_open() {
        let path = std::env::temp_dir().join(format!("gh-holders-{}", process::getpid()));
        let file = File::create(&path).unwrap();
        let other = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let this = process::getpid();
        assert_eq!(sharing(&other), Ok(Vec::new()));
        assert_eq!(open(this, &other).map(drop), Err(Errno::ESRCH));
        flock::lock(&file, flock::Lock::Exclusive, Duration::ZERO).unwrap();
        assert_eq!(sharing(&other), Ok(Vec::new()));
        assert!(open(this, &other).is_ok());
        flock::lock(&file, flock::Lock::Shared, Duration::ZERO).unwrap();
        assert_eq!(sharing(&other), Ok(vec![this]));
        drop(file);
        assert_eq!(sharing(&other), Ok(Vec::new()));
        assert_eq!(open(this, &other).map(drop), Err(Errno::ESRCH));
    }

    #[test]
    fn a_lock_that_is_waited_for_is_none() {
        let file = "08:01:99";
        let has = |line| lock(line, file).map(|lock| (lock.pid.as_raw(), lock.is_shared));
        assert_eq!(has("1: FLOCK  ADVISORY  READ 7 08:01:99 0 EOF"), Some((7, true)));
        assert_eq!(has("1: FLOCK  ADVISORY  WRITE 7 08:01:99 0 EOF"), Some((7, false)));
        assert_eq!(has("1: -> FLOCK  ADVISORY  READ 7 08:01:99 0 EOF"), None);
        assert_eq!(has("1: POSIX  ADVISORY  READ 7 08:01:99 0 EOF"), None);
        assert_eq!(has("1: FLOCK  ADVISORY  READ 7 08:01:98 0 EOF"), None);
        assert_eq!(has("1: FLOCK  ADVISORY  READ 0 08:01:99 0 EOF"), None);
    }
}
