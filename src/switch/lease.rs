//! Leases: which subordinate ids belong to which credential, for all calls that are made with it.
//!
//! A directory of the caller's holds a file for each user id that was ever given away, by its number: empty if it is free, else with the
//! guards of the calls that are made with it, and the credential's place and path. All is done under one lock; each file is replaced at one stroke, and what a
//! killed call leaves is a lease like any other.
//!
//! A lease ends when its credential is gone, no call is made with it any more, and none of its processes is left. The calls of a lease hold
//! a lock together, for a credential may be out of its place for a moment, while its sandbox changes hands.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::credential::Credential;
use super::holder::{self, Holder};
use super::members;
use super::ranges::Ranges;
use super::refusal::{Refusal, Result};
use crate::shown::Shown;
use crate::sys::fd::Lock;
use crate::sys::{fd, mount, process};

/// So long a call waits for others to start their payloads.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so long an id is used again rather than one that never was.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// After so long a lease ends whose credential's place cannot be seen.
const UNSEEN: Duration = Duration::from_secs(7 * 24 * 3600);

/// The table of leases, as long as nobody else can change it.
#[derive(Debug)]
pub struct Leases {
    directory: PathBuf,
    ranges: Ranges,
    /// The directory itself, locked: a file in it could be replaced while it is locked, and tools that clean up leave a locked directory alone.
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
    credential: Credential,
    /// The guards of the other calls that are made with it.
    holders: Vec<Holder>,
    /// Says that a call is made with it, as long as a process holds it open.
    _call: File,
}

/// What the table says of one user id.
struct Entry {
    user: u32,
    /// None if it is free.
    credential: Option<Credential>,
    holders: Vec<Holder>,
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
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed("make", error)),
            _ => {}
        }
        let found = fs::symlink_metadata(&directory).map_err(|error| failed("examine", error))?;
        if !found.is_dir() || found.uid() != process::user() || found.mode() & 0o077 != 0 {
            return Err(Refusal::internal(format!(
                "{} is not a directory of yours that is closed to others: remove it, or have GLEXEC_STATE_DIR name another one",
                Shown::os(&directory)
            )));
        }
        let lock = File::open(&directory).map_err(|error| failed("lock", error))?;
        fd::lock(&lock, Lock::Alone, PATIENCE).map_err(|cause| failed("lock", cause.into()))?;
        Ok(Leases { directory, ranges, lock })
    }

    /// The lease for a credential: the one that it has, or a new one; `wanted` is the user that it must be for, if that matters.
    pub fn take(&self, credential: &Credential, wanted: Option<u32>) -> Result<Lease> {
        let mut entries = self.entries()?;
        let is_same = |entry: &Entry| entry.credential.as_ref().is_some_and(|found| found.place == credential.place);
        for entry in entries.iter_mut().filter(|entry| !is_same(entry)) {
            if entry.credential.as_ref().is_some_and(|found| is_over(found, entry.used)) && self.end(entry.user)? {
                (entry.credential, entry.used) = (None, SystemTime::now());
            }
        }
        if let Some(entry) = entries.iter().find(|entry| is_same(entry)) {
            let place = self.ranges.place_of(entry.user).and_then(|place| self.ranges.at(place));
            let Some((user, group)) = place else {
                return Err(Refusal::internal(format!(
                    "the lease of {} is for uid {}, which is no subordinate id of yours any more",
                    Shown::os(&credential.path),
                    entry.user
                )));
            };
            if wanted.is_some_and(|wanted| wanted != user) {
                return Err(Refusal::client(format!(
                    "the lease of this credential is for uid {user} (GLEXEC_LEASE_UID)"
                )));
            }
            let holders: Vec<Holder> = entry.holders.iter().copied().filter(Holder::lives).collect();
            let (call, namespace) = (self.call(user)?, holder::namespace_of((user, group), &holders)?);
            return Ok(Lease { user, group, namespace, credential: credential.clone(), holders, _call: call });
        }
        let unused = match wanted {
            None => self.unused(&entries),
            Some(user) => Some(self.wanted(user, &entries)?),
        };
        let Some((user, group)) = unused else {
            return Err(Refusal::internal(format!(
                "all {} subordinate ids are in use: an administrator can give more (usermod --add-subuids)",
                self.ranges.count()
            )));
        };
        let (call, credential) = (self.call(user)?, credential.clone());
        let lease = Lease { user, group, namespace: None, credential, holders: Vec::new(), _call: call };
        self.hold(&lease, None)?;
        Ok(lease)
    }

    /// Ids that no process has: of those that were used before the ones that were free for longest, if that is long enough for all to have
    /// forgotten them; else some that never were used. So the table does not grow with every credential.
    fn unused(&self, entries: &[Entry]) -> Option<(u32, u32)> {
        let used: HashSet<u32> = entries.iter().map(|entry| entry.user).collect();
        let mut free: Vec<&Entry> = entries.iter().filter(|entry| entry.credential.is_none()).collect();
        free.sort_by_key(|entry| entry.used);
        let is_forgotten = |entry: &&&Entry| entry.used.elapsed().is_ok_and(|time| time >= FORGOTTEN);
        let (forgotten, recent) = free.split_at(free.iter().take_while(|entry| is_forgotten(entry)).count());
        let ids = |entry: &&Entry| self.ranges.at(self.ranges.place_of(entry.user)?);
        let never =
            (0..self.ranges.count()).filter_map(|place| self.ranges.at(place)).filter(|(user, _)| !used.contains(user));
        let mut all = forgotten.iter().filter_map(ids).chain(never).chain(recent.iter().filter_map(ids));
        all.find(|(user, _)| members::of(*user).is_empty())
    }

    /// The ids of this user, if they are nobody's now.
    fn wanted(&self, user: u32, entries: &[Entry]) -> Result<(u32, u32)> {
        let is_taken = entries.iter().any(|entry| entry.user == user && entry.credential.is_some());
        let ids = self.ranges.place_of(user).and_then(|place| self.ranges.at(place));
        match ids {
            None => Err(Refusal::client(format!("uid {user} is no subordinate id of yours (GLEXEC_LEASE_UID)"))),
            Some(_) if is_taken || !members::of(user).is_empty() => {
                Err(Refusal::client(format!("uid {user} is another payload's now (GLEXEC_LEASE_UID)")))
            }
            Some(ids) => Ok(ids),
        }
    }

    /// Notes that there is a guard, and lets the others have their turn.
    pub fn started(self, lease: &Lease, guard: i32) -> Result<()> {
        self.hold(lease, Holder::of(guard))
    }

    /// Ends the lease of a user id, unless calls are made with it, or somebody who has it does not end. Whether it has ended.
    fn end(&self, user: u32) -> Result<bool> {
        let calls = self.calls(user)?;
        let is_idle = fd::lock(&calls, Lock::Alone, Duration::ZERO).is_ok();
        // Ids that are the caller's no more are nobody's to give away again.
        let ids = self.ranges.place_of(user).and_then(|place| self.ranges.at(place));
        if !is_idle || !ids.is_none_or(members::end_all) {
            return Ok(false);
        }
        self.write(user, b"")?;
        Ok(true)
    }

    /// What a call with this user id holds.
    fn call(&self, user: u32) -> Result<File> {
        let calls = self.calls(user)?;
        // Who locks it alone has locked the table, too: nobody does.
        let held = fd::lock(&calls, Lock::Together, Duration::ZERO).map_err(std::io::Error::from);
        // Both are in use, as those see it who clean up what is old.
        let touched = held.and_then(|()| calls.set_modified(SystemTime::now())).and_then(|()| {
            let lease = File::options().write(true).open(self.path(user));
            lease.map_or(Ok(()), |lease| lease.set_modified(SystemTime::now()))
        });
        touched.map_err(|error| Refusal::internal(format!("cannot use the lease of uid {user}: {error}")))?;
        Ok(calls)
    }

    fn calls(&self, user: u32) -> Result<File> {
        let path = self.directory.join(format!("{user}.calls"));
        let opened = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        opened.map_err(|error| Refusal::internal(format!("cannot open {}: {error}", Shown::os(&path))))
    }

    fn hold(&self, lease: &Lease, guard: Option<Holder>) -> Result<()> {
        let holders = lease.holders.iter().copied().chain(guard);
        let holders: Vec<String> = holders.map(|Holder { pid, started }| format!("{pid} {started}")).collect();
        let Credential { path, place } = &lease.credential;
        self.write(lease.user, &[holders.join(",").as_bytes(), place, path.as_os_str().as_bytes()].join(&0))
    }

    fn write(&self, user: u32, content: &[u8]) -> Result<()> {
        let (new, path) = (self.directory.join("new"), self.path(user));
        let mut options = File::options();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
        let written = opened.and_then(|mut file| file.write_all(content)).and_then(|()| fs::rename(&new, &path));
        written.map_err(|error| Refusal::internal(format!("cannot write the lease {}: {error}", Shown::os(&path))))
    }

    fn path(&self, user: u32) -> PathBuf {
        self.directory.join(user.to_string())
    }

    fn entries(&self) -> Result<Vec<Entry>> {
        let failed =
            |error| Refusal::internal(format!("cannot read the leases in {}: {error}", Shown::os(&self.directory)));
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)?.flatten() {
            let Some(user) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let found = entry.metadata().map_err(failed)?;
            let content = if found.size() == 0 { Vec::new() } else { fs::read(entry.path()).map_err(failed)? };
            let (credential, holders) = parse(&content).unwrap_or_default();
            entries.push(Entry { user, credential, holders, used: found.modified().map_err(failed)? });
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

fn parse(content: &[u8]) -> Option<(Option<Credential>, Vec<Holder>)> {
    let mut parts = content.split(|byte| *byte == 0);
    let holder = |word: &str| {
        let (pid, started) = word.split_once(' ')?;
        Some(Holder { pid: pid.parse().ok()?, started: started.parse().ok()? })
    };
    let holders = std::str::from_utf8(parts.next()?).ok()?.split(',').filter_map(holder).collect();
    let (place, path) = (parts.next()?.to_vec(), PathBuf::from(OsStr::from_bytes(parts.next()?)));
    Some((Some(Credential { path, place }), holders))
}

/// Whether a credential does not exist any more: its place can be seen from here, and there is nothing. Where it cannot, as in another mount
/// namespace, it counts as gone when it was not used for long: a restart of the machine can give another number to its file system.
fn is_over(credential: &Credential, used: SystemTime) -> bool {
    let gone = |error: std::io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    if !fs::symlink_metadata(&credential.path).is_err_and(gone) {
        return false;
    }
    let is_seen = mount::place_of(&credential.path).is_ok_and(|place| place == credential.place);
    is_seen || used.elapsed().is_ok_and(|time| time > UNSEEN)
}

/// The directory of leases of a user, or the one that a variable names. It is on this machine, and there for all of the user's processes.
pub fn directory(user: u32, variable: Option<std::ffi::OsString>) -> PathBuf {
    variable.map_or_else(|| PathBuf::from(format!("/var/tmp/glexec-{user}")), PathBuf::from)
}
