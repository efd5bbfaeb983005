//! Leases: which subordinate ids belong to which credential, for all calls that are made with it.
//!
//! A directory of the caller's holds a file for each user id that was ever given away, by its number: empty if it is free, else with the
//! credential's path and the process that holds its namespace. All is done under one lock; each file is replaced at one stroke, and what a
//! killed call leaves is a lease like any other.
//!
//! A lease ends when its credential is gone, no call is made with it any more, and none of its processes is left. The calls of a lease hold
//! a lock together, for a credential may be out of its place for a moment, while its sandbox changes hands.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::ranges::Ranges;
use super::refusal::{Refusal, Result};
use crate::shown::Shown;
use crate::sys::fd::Lock;
use crate::sys::signal::SIGKILL;
use crate::sys::{fd, namespace, proc, process, signal};

/// So long a call waits for others to start their payloads.
const PATIENCE: Duration = Duration::from_secs(30);

/// So long a call waits for who is left of a lease to end. If somebody does not, as one who waits for a disk, the lease stays, and the next
/// call tries again.
const FAREWELL: Duration = Duration::from_secs(1);

/// For those who wait for a disk, so long must do: every call has to wait for them.
const SHORT_FAREWELL: Duration = Duration::from_millis(50);

/// The table of leases, as long as nobody else can change it.
#[derive(Debug)]
pub struct Leases {
    directory: PathBuf,
    ranges: Ranges,
    lock: File,
}

/// The ids for one credential.
#[derive(Debug)]
pub struct Lease {
    /// The user id.
    pub user: u32,
    /// The group id.
    pub group: u32,
    /// The user namespace in which processes of it live; none if nobody lives.
    pub namespace: Option<OwnedFd>,
    credential: PathBuf,
    /// Says that a call is made with it, as long as a process holds it open.
    _call: File,
}

/// A process that holds a namespace, and when it was started.
type Holder = (i32, u64);

/// What the table says of one user id.
struct Entry {
    user: u32,
    /// None if it is free.
    credential: Option<PathBuf>,
    holder: Option<Holder>,
    used: SystemTime,
}

impl Leases {
    /// Opens the table in this directory, which is made if it is not there, and waits for its turn.
    pub fn lock(directory: PathBuf, ranges: Ranges) -> Result<Leases> {
        let failed = |what: &str, error: std::io::Error| {
            let directory = Shown::os(&directory);
            Refusal::internal(format!(
                "cannot {what} the directory of leases {directory}: {error} (GLEXEC_STATE_DIR names another one)"
            ))
        };
        match fs::DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed("make", error)),
            _ => {}
        }
        let found = fs::symlink_metadata(&directory).map_err(|error| failed("examine", error))?;
        if !found.is_dir() || found.uid() != process::user() || found.mode() & 0o077 != 0 {
            return Err(Refusal::internal(format!(
                "{} is not a directory of yours that is closed to others: remove it, or have GLEXEC_STATE_DIR name another one",
                Shown::os(&directory)
            )));
        }
        let mut options = File::options();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(directory.join("lock"));
        let lock = lock.map_err(|error| failed("lock", error))?;
        fd::lock(&lock, Lock::Alone, PATIENCE).map_err(|cause| failed("lock", cause.into()))?;
        Ok(Leases { directory, ranges, lock })
    }

    /// The lease for a credential: the one that it has, or a new one.
    pub fn take(&self, credential: &Path) -> Result<Lease> {
        let mut entries = self.entries()?;
        for entry in &mut entries {
            if entry.credential.as_ref().is_some_and(|path| path != credential && is_gone(path))
                && self.end(entry.user)?
            {
                (entry.credential, entry.holder, entry.used) = (None, None, SystemTime::now());
            }
        }
        if let Some(entry) = entries.iter().find(|entry| entry.credential.as_deref() == Some(credential)) {
            let place = self.ranges.place_of(entry.user).and_then(|place| self.ranges.at(place));
            let Some((user, group)) = place else {
                return Err(Refusal::internal(format!(
                    "the lease of {} is for uid {}, which is no subordinate id of yours any more",
                    Shown::os(credential),
                    entry.user
                )));
            };
            let (call, namespace) = (self.call(user)?, living(entry));
            return Ok(Lease { user, group, namespace, credential: credential.to_owned(), _call: call });
        }
        let used: Vec<u32> = entries.iter().map(|entry| entry.user).collect();
        let mut free: Vec<&Entry> = entries.iter().filter(|entry| entry.credential.is_none()).collect();
        free.sort_by_key(|entry| entry.used);
        let never_used =
            (0..self.ranges.count()).filter_map(|place| self.ranges.at(place)).filter(|(user, _)| !used.contains(user));
        let least_recently = free.iter().filter_map(|entry| self.ranges.at(self.ranges.place_of(entry.user)?));
        let found = never_used.chain(least_recently).find(|(user, _)| processes_of(*user).is_empty());
        let Some((user, group)) = found else {
            return Err(Refusal::internal(format!(
                "all {} subordinate ids are in use: an administrator can give more (usermod --add-subuids)",
                self.ranges.count()
            )));
        };
        let (call, credential) = (self.call(user)?, credential.to_owned());
        let lease = Lease { user, group, namespace: None, credential, _call: call };
        self.hold(&lease, None)?;
        Ok(lease)
    }

    /// Notes who holds the namespace of a lease, and lets the others have their turn.
    pub fn started(self, lease: &Lease, holder: Option<i32>) -> Result<()> {
        if let Some(holder) = holder {
            let entry = proc::entry(holder).ok().flatten();
            self.hold(lease, entry.map(|entry| (holder, entry.started)))?;
        }
        drop(self);
        Ok(())
    }

    /// Ends the lease of a user id, unless calls are made with it, or somebody who has it does not end. Whether it has ended.
    fn end(&self, user: u32) -> Result<bool> {
        let calls = self.calls(user)?;
        if fd::lock(&calls, Lock::Alone, Duration::ZERO).is_err() || !end_processes_of(user) {
            return Ok(false);
        }
        self.write(user, b"")?;
        Ok(true)
    }

    /// What a call with this user id holds.
    fn call(&self, user: u32) -> Result<File> {
        let calls = self.calls(user)?;
        // Who locks it alone has locked the table, too: nobody does.
        fd::lock(&calls, Lock::Together, Duration::ZERO)
            .map_err(|cause| Refusal::internal(format!("cannot lock the lease of uid {user}: {cause}")))?;
        Ok(calls)
    }

    fn calls(&self, user: u32) -> Result<File> {
        let path = self.directory.join(format!("{user}.calls"));
        let opened = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        opened.map_err(|error| Refusal::internal(format!("cannot open {}: {error}", Shown::os(&path))))
    }

    fn hold(&self, lease: &Lease, holder: Option<Holder>) -> Result<()> {
        let (pid, started) = holder.unwrap_or((0, 0));
        let mut content = format!("{pid} {started}\n").into_bytes();
        content.extend_from_slice(lease.credential.as_os_str().as_bytes());
        self.write(lease.user, &content)
    }

    fn write(&self, user: u32, content: &[u8]) -> Result<()> {
        let (new, path) = (self.directory.join("new"), self.directory.join(user.to_string()));
        let mut options = File::options();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
        let written = opened.and_then(|mut file| file.write_all(content)).and_then(|()| fs::rename(&new, &path));
        written.map_err(|error| Refusal::internal(format!("cannot write the lease {}: {error}", Shown::os(&path))))
    }

    fn entries(&self) -> Result<Vec<Entry>> {
        let failed =
            |error| Refusal::internal(format!("cannot read the leases in {}: {error}", Shown::os(&self.directory)));
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)?.flatten() {
            let Some(user) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let content = fs::read(entry.path()).map_err(failed)?;
            let used = entry.metadata().and_then(|found| found.modified()).map_err(failed)?;
            let (credential, holder) = parse(&content).unwrap_or_default();
            entries.push(Entry { user, credential, holder, used });
        }
        Ok(entries)
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        // The guard has a copy of the descriptor: closing ours would not do.
        fd::unlock(&self.lock);
    }
}

fn parse(content: &[u8]) -> Option<(Option<PathBuf>, Option<Holder>)> {
    let end = content.iter().position(|byte| *byte == b'\n')?;
    let (pid, started) = std::str::from_utf8(&content[..end]).ok()?.split_once(' ')?;
    let holder = (pid.parse().ok()?, started.parse().ok()?);
    let path = PathBuf::from(OsStr::from_bytes(&content[end + 1..]));
    Some((Some(path), Some(holder).filter(|(pid, _)| *pid > 0)))
}

/// Whether a credential does not exist any more; not whether it can't be reached now.
fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_err_and(|error| matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory))
}

/// The user namespace in which processes of a lease live.
fn living(entry: &Entry) -> Option<OwnedFd> {
    let is_holder = |(pid, started): &Holder| {
        proc::entry(*pid).is_ok_and(|found| found.is_some_and(|found| found.started == *started && !found.has_ended()))
    };
    let holder = entry.holder.filter(is_holder).map(|(pid, _)| pid);
    holder.into_iter().chain(processes_of(entry.user)).find_map(|pid| namespace::user_namespace_of(pid).ok())
}

/// The living processes of a user id, as far as this user may signal them: it owns the namespace that they are in.
fn processes_of(user: u32) -> Vec<i32> {
    let may_signal = |pid: &i32| signal::send_by_number(*pid, 0).is_ok();
    let is = |pid: &i32| proc::owners(*pid).is_some_and(|owners| owners.contains(&user));
    let lives = |pid: &i32| proc::entry(*pid).is_ok_and(|entry| entry.is_some_and(|entry| !entry.has_ended()));
    proc::numbers().unwrap_or_default().into_iter().filter(may_signal).filter(is).filter(lives).collect()
}

/// Ends all processes of a user id; whether none is left.
fn end_processes_of(user: u32) -> bool {
    let started = Instant::now();
    loop {
        let left = processes_of(user);
        let waits =
            |pid: &i32| proc::entry(*pid).is_ok_and(|entry| entry.is_some_and(|entry| entry.waits_for_a_device()));
        let patience = if left.iter().all(waits) { SHORT_FAREWELL } else { FAREWELL };
        if left.is_empty() || started.elapsed() > patience {
            return left.is_empty();
        }
        for pid in left {
            let killed = process::open(pid).and_then(|held| {
                // Held first: whoever has the number now is meant only if it is this user's.
                if proc::owners(pid).is_some_and(|owners| owners.contains(&user)) {
                    signal::send(&held, SIGKILL)
                } else {
                    Ok(())
                }
            });
            let _ = killed;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The directory of leases of a user. It is on this machine, and there for all of the user's processes.
pub fn directory(user: u32, variable: Option<std::ffi::OsString>) -> PathBuf {
    variable
        .filter(|value| !value.is_empty())
        .map_or_else(|| PathBuf::from(format!("/var/tmp/glexec-{user}")), PathBuf::from)
}
