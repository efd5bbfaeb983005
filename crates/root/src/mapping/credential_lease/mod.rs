//! Leases of pool accounts to credentials that have no subject, for `mapping = caller`. The key is
//! the calling user and the place of the credential, which need only be a file.
//!
//! A lease is a link in gridmapdir, as that of a subject, so no account is leased to both; the file
//! of the account says what it is leased to ([`record`]). A lease ends when its credential is gone
//! and no call uses it. The caller's next call ends it, or a call of another user that finds no
//! free account. What is left of the account's processes is killed then ([`crate::processes`]).

pub(crate) mod gone;
mod record;

use std::fs::File;
use std::time::{Duration, SystemTime};

use command::accounts::{self, Account};
use command::location::Location;
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::flock::{self, Lock};
use sys::{OwnedName, Uid};

use self::record::Record;
use super::Mode;
use super::gridmapdir::{Gridmapdir, name};
use super::target;
use crate::config::Config;
use crate::names::is_of_pool;

/// An account that a credential has. The lease does not end as long as a process has `calls` open.
#[derive(Debug)]
pub(super) struct Leased {
    pub(super) account: OwnedName,
    pub(super) calls: File,
}

/// A lease.
struct Entry {
    account: OwnedName,
    /// None if the file is damaged.
    record: Option<Record>,
    last_use: SystemTime,
}

/// A call with a credential.
pub(super) struct Call<'a> {
    pub(super) config: &'a Config,
    pub(super) caller: &'a Account,
    pub(super) credential: &'a Location,
}

impl Call<'_> {
    /// The account of a pool that the credential has; if it has none, and the call asks for one, a
    /// free one.
    pub(super) fn acquire(&self, prefix: &[u8], mode: Mode) -> Result<Leased> {
        let record = self.record()?;
        let path = &self.config.gridmapdir;
        let all = entries(&Gridmapdir::lock(path)?)?;
        let own = |entry: &Entry| is_of(entry, &record.host, |caller| caller == record.caller);
        let over = over(all.iter().filter(|entry| own(entry)), &record)?;

        let directory = Gridmapdir::lock(path)?;
        end(&directory, &over)?;
        if let Some(leased) = find(&directory, &record)? {
            let shown = Shown(leased.account.name().bytes());
            if is_of_pool(leased.account.name().bytes(), prefix) {
                return Ok(leased);
            }
            return Err(Refusal::internal(format!(
                "the credential has a lease of the account {shown}, which is not of the pool {}: \
                 use another credential",
                Shown(prefix)
            )));
        }
        if mode == Mode::VerifyAccount {
            return Err(super::no_lease(&Shown::os(&self.credential.path)));
        }
        if let Some(leased) = self.allocate(&directory, prefix, &record)? {
            return Ok(leased);
        }
        drop(directory);

        let others = |entry: &Entry| is_of(entry, &record.host, |caller| caller != record.caller);
        let mut of_others = Vec::new();
        for caller in callers(all.iter().filter(|entry| others(entry))) {
            // Each user's apart: one whose file server does not answer delays no other's.
            let of_caller = |entry: &&Entry| is_of(entry, &record.host, |other| other == caller);
            of_others.extend(self::over(all.iter().filter(of_caller), &record)?);
        }
        let directory = Gridmapdir::lock(path)?;
        end(&directory, &of_others)?;
        self.allocate(&directory, prefix, &record)?.ok_or_else(|| super::exhausted(prefix, path))
    }

    fn record(&self) -> Result<Record> {
        let host = std::fs::read("/proc/sys/kernel/hostname").map_err(|error| {
            Refusal::internal(format!("cannot read the name of this machine: {error}"))
        })?;
        let host = host.trim_ascii().to_vec();
        Ok(Record { host, caller: self.caller.user, credential: self.credential.clone() })
    }

    fn allocate(
        &self,
        directory: &Gridmapdir,
        prefix: &[u8],
        record: &Record,
    ) -> Result<Option<Leased>> {
        let is_usable =
            |account: sys::Name<'_>| Ok(target::find(account.bytes(), self.config)?.is_ok());
        let write = |account: sys::Name<'_>| {
            let file = directory.open(account)?;
            record
                .write(&file)
                .map_err(|error| directory.failed("write", account, sys::errno(&error)))
        };
        let lease = |account: sys::Name<'_>| name::of_credential(account.bytes());
        let taken = directory.take(prefix, lease, is_usable, write)?;
        taken.map(|account| pin(directory, account)).transpose()
    }
}

/// The lease of a credential.
fn find(directory: &Gridmapdir, record: &Record) -> Result<Option<Leased>> {
    for entry in entries(directory)? {
        if entry.record.is_some_and(|other| other.is_same(record)) {
            let lease = name::of_credential(entry.account.name().bytes())?;
            // Looks whether account and lease are one file, and no other identity has it.
            return match directory.find(lease.name())? {
                Some(account) if account == entry.account => pin(directory, account).map(Some),
                _ => Err(directory.damaged(lease.name(), "it is a link to another account")),
            };
        }
    }
    Ok(None)
}

/// Marks a lease as used by a call, until the file is closed.
fn pin(directory: &Gridmapdir, account: OwnedName) -> Result<Leased> {
    let calls = directory.open(account.name())?;
    flock::lock(&calls, Lock::Shared, Duration::ZERO)
        .map_err(|cause| directory.failed("lock", account.name(), cause))?;
    Ok(Leased { account, calls })
}

/// All leases to credentials.
fn entries(directory: &Gridmapdir) -> Result<Vec<Entry>> {
    let mut accounts = Vec::new();
    directory.for_each(|lease| {
        accounts
            .extend(name::account_of(lease.bytes()).and_then(|name| OwnedName::new(name.to_vec())));
        Ok(())
    })?;
    let mut entries = Vec::new();
    for account in accounts {
        let file = directory.open(account.name())?;
        let failed =
            |error: std::io::Error| directory.failed("read", account.name(), sys::errno(&error));
        let last_use = file.metadata().and_then(|found| found.modified()).map_err(failed)?;
        let record = Record::read(&file).map_err(failed)?;
        entries.push(Entry { account, record, last_use });
    }
    Ok(entries)
}

/// Whether a lease is one of this machine, of such a caller, or damaged.
fn is_of(entry: &Entry, host: &[u8], is_wanted: impl Fn(Uid) -> bool) -> bool {
    entry.record.as_ref().is_none_or(|record| record.host == host && is_wanted(record.caller))
}

fn callers<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Uid> {
    let mut callers: Vec<Uid> =
        entries.filter_map(|entry| entry.record.as_ref().map(|record| record.caller)).collect();
    callers.sort_by_key(|caller| caller.as_raw());
    callers.dedup();
    callers
}

/// Those leases whose credential is gone, or whose file is damaged; never the one of this call.
fn over<'a>(entries: impl Iterator<Item = &'a Entry>, own: &Record) -> Result<Vec<&'a Entry>> {
    let is_own = |entry: &&Entry| entry.record.as_ref().is_some_and(|record| record.is_same(own));
    let (known, mut over): (Vec<&Entry>, Vec<&Entry>) =
        entries.filter(|entry| !is_own(entry)).partition(|entry| entry.record.is_some());
    let credentials: Vec<(&Location, SystemTime)> = known
        .iter()
        .filter_map(|entry| Some((&entry.record.as_ref()?.credential, entry.last_use)))
        .collect();
    let gone = gone::gone(&credentials)?;
    over.extend(known.into_iter().zip(gone).filter(|(_, gone)| *gone).map(|(entry, _)| entry));
    Ok(over)
}

/// Ends leases, unless a call uses one, or a process of its account does not end.
fn end(directory: &Gridmapdir, over: &[&Entry]) -> Result<()> {
    for entry in over {
        let account = entry.account.name();
        let lease = name::of_credential(account.bytes())?;
        // The link can be gone, and the file removed, since the look.
        if directory.stat(lease.name())?.is_none() || directory.stat(account)?.is_none() {
            continue;
        }
        let file = directory.open(account)?;
        let is_same = Record::read(&file).is_ok_and(|record| record == entry.record);
        if !is_same || flock::lock(&file, Lock::Exclusive, Duration::ZERO).is_err() {
            continue;
        }
        // An account that is no longer there has no process that it would be known by.
        let is_ended = match accounts::named(account.bytes())? {
            Some(account) if account.user.is_root() => false,
            Some(account) => crate::processes::kill_all(account.user, account.group)?,
            None => true,
        };
        if is_ended {
            directory.remove(lease.name())?;
        }
    }
    Ok(())
}
