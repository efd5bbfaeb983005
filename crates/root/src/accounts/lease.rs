//! A lease for a call: the account that the identity owns, or else a guest account.

use std::fs::File;
use std::time::{Duration, Instant};

use command::accounts::Account;
use command::location::Location;
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::flock::{self, Lock};

use super::audit::{self, Event, Holding};
use super::end;
use super::list::AccountList;
use super::new_id;
use super::queue::{self, Ticket};
use super::record::{Identity, LeaseRecord};
use super::table::{DRAIN, Slot, Table, now};
use crate::config::Config;
use crate::mapping::subject::Subject;
use crate::mapping::target::{self, TargetAccount};
use crate::mapping::{self, Mode};

/// How often a call that waits looks for a free account.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a lock is tried that another process has for a moment.
const MOMENT: Duration = Duration::from_secs(5);

/// A call that asks for an account.
pub struct Ask<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The accounts.
    pub list: &'a AccountList,
    /// The client.
    pub client: &'a Account,
    /// The subject of the credential, if it is a proxy.
    pub subject: Option<&'a str>,
    /// Where the credential is.
    pub credential: &'a Location,
    /// Whether a new lease may begin.
    pub mode: Mode,
    /// Whether the client is gone: then a call does not wait any more.
    pub is_abandoned: &'a dyn Fn() -> bool,
}

/// An account on lease. The lease does not end as long as a process has `held` open.
#[derive(Debug)]
pub struct Leased {
    /// The lease.
    pub record: LeaseRecord,
    /// The account.
    pub target: TargetAccount,
    /// Its lock.
    pub held: File,
}

/// Notes that a lease is used: its time begins again.
pub fn renew(record: &LeaseRecord, config: &Config) -> Result<()> {
    let slot = Slot::of(&record.account)?;
    let _table = Table::lock()?;
    match slot.lease_of(record.client).filter(|found| found.lease == record.lease) {
        Some(found) => {
            let used = now();
            let until = used + config.lease_time.as_secs();
            slot.write(&LeaseRecord { used, until, ..found })
        }
        None => Ok(()),
    }
}

/// What one look at the guest accounts has found.
enum Look {
    /// The lease that the identity has.
    Leased(Box<LeaseRecord>, File),
    /// A free account, which is reserved as long as the file is open.
    Reserved(Slot, File),
    /// No account is free.
    None,
}

impl Ask<'_> {
    /// The account of the identity. 202 if there is none for it now, or no new lease may begin.
    pub fn acquire(&self) -> Result<Leased> {
        if let Some(subject) = self.subject {
            mapping::check_ban(self.config, subject.as_bytes())?;
        }
        match self.owned() {
            Some(account) => self.acquire_owned(account),
            None => self.acquire_guest(),
        }
    }

    /// The account that the identity owns.
    fn owned(&self) -> Option<&[u8]> {
        let is_owner = |owner: &Vec<u8>| match self.subject {
            Some(subject) => Subject::new(subject.as_bytes()).matches(&Subject::new(owner), false),
            None => *owner == self.client.name,
        };
        let mut entries = self.list.entries().iter();
        let entry = entries.find(|entry| entry.owner.as_ref().is_some_and(is_owner))?;
        Some(&entry.account)
    }

    fn acquire_owned(&self, account: &[u8]) -> Result<Leased> {
        let target = target::require(account, self.config)?;
        let identity = match self.subject {
            Some(subject) => Identity::Subject(subject.into()),
            None => Identity::Caller(self.client.name.clone()),
        };
        let slot = Slot::of(account)?;
        let _table = Table::lock()?;
        let found = slot.lease_of(self.client.user);
        let found =
            found.filter(|record| record.identity == identity && record.holding == Holding::Owned);
        if found.is_none() {
            self.permit_new()?;
        }
        let is_new = found.is_none();
        let record = found.unwrap_or_else(|| self.record(&target, identity, Holding::Owned));
        let held = self.hold(&slot)?;
        let record = self.renewed(record);
        slot.write(&record)?;
        if is_new {
            self.audit_begin(&record);
        }
        Ok(Leased { record, target, held })
    }

    fn acquire_guest(&self) -> Result<Leased> {
        let deadline = Instant::now() + self.config.lease_wait;
        let (mut ticket, mut unusable, mut has_reclaimed) = (None, Vec::new(), false);
        loop {
            match self.look(ticket.as_ref(), &unusable)? {
                Look::Leased(record, held) => {
                    let target = target::require(&record.account, self.config)?;
                    return Ok(Leased { record: *record, target, held });
                }
                Look::Reserved(slot, held) => match target::find(slot.account(), self.config)? {
                    Ok(target) => return self.begin(&slot, held, target),
                    Err(_) => unusable.push(slot.account().to_vec()),
                },
                Look::None if !has_reclaimed => {
                    end::sweep()?;
                    has_reclaimed = true;
                }
                Look::None => {
                    if Instant::now() >= deadline {
                        return Err(self.exhausted());
                    }
                    if (self.is_abandoned)() {
                        return Err(Refusal::internal("the client is gone"));
                    }
                    if ticket.is_none() {
                        ticket = Some(Ticket::take(&Table::lock()?)?);
                        continue;
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Looks for the lease of the identity; and then for a free account, if calls that wait leave
    /// one.
    fn look(&self, ticket: Option<&Ticket>, unusable: &[Vec<u8>]) -> Result<Look> {
        let table = Table::lock()?;
        if let Some((slot, record)) = self.find_guest()? {
            let held = self.hold(&slot)?;
            let record = self.renewed(record);
            slot.write(&record)?;
            return Ok(Look::Leased(Box::new(record), held));
        }
        if self.mode == Mode::VerifyAccount {
            return Err(mapping::no_lease(&Shown(self.identity().value())));
        }
        self.permit_new()?;
        let mut free = Vec::new();
        for entry in self.guests().filter(|entry| !unusable.contains(*entry)) {
            let slot = Slot::of(entry)?;
            if slot.is_free() {
                free.push(slot);
            }
        }
        // The account that was used last comes last.
        free.sort_by_key(Slot::last_use);
        let before = queue::before(&table, ticket);
        if free.len() <= before {
            return Ok(Look::None);
        }
        for slot in free {
            let held = slot.open_use()?;
            if flock::lock(&held, Lock::Exclusive, Duration::ZERO).is_ok() {
                return Ok(Look::Reserved(slot, held));
            }
        }
        Ok(Look::None)
    }

    /// Begins a lease of a reserved account.
    fn begin(&self, slot: &Slot, held: File, target: TargetAccount) -> Result<Leased> {
        let _table = Table::lock()?;
        // Another call of the identity may have begun a lease meanwhile.
        if let Some((other, record)) = self.find_guest()? {
            drop(held);
            let held = self.hold(&other)?;
            let target = target::require(&record.account, self.config)?;
            let record = self.renewed(record);
            other.write(&record)?;
            return Ok(Leased { record, target, held });
        }
        let record = self.record(&target, self.identity(), Holding::Guest);
        slot.write(&record)?;
        self.audit_begin(&record);
        // Not atomic: but others lock it exclusively only while the table is locked.
        flock::lock(&held, Lock::Shared, MOMENT).map_err(|cause| self.busy(slot, cause))?;
        Ok(Leased { record, target, held })
    }

    /// The lease of a guest account that the identity has.
    fn find_guest(&self) -> Result<Option<(Slot, LeaseRecord)>> {
        let identity = self.identity();
        for account in self.guests() {
            let slot = Slot::of(account)?;
            let found = slot
                .lease_of(self.client.user)
                .filter(|record| record.identity == identity && record.holding == Holding::Guest);
            if let Some(record) = found {
                return Ok(Some((slot, record)));
            }
        }
        Ok(None)
    }

    fn guests(&self) -> impl Iterator<Item = &Vec<u8>> {
        let guests = self.list.entries().iter().filter(|entry| entry.owner.is_none());
        guests.map(|entry| &entry.account)
    }

    /// For whom a guest account is leased.
    fn identity(&self) -> Identity {
        match self.subject {
            Some(subject) => Identity::Subject(subject.into()),
            None => Identity::File(self.credential.place.clone()),
        }
    }

    fn record(&self, target: &TargetAccount, identity: Identity, holding: Holding) -> LeaseRecord {
        let begun = now();
        LeaseRecord {
            lease: new_id(),
            account: target.account.name.clone(),
            uid: target.account.user,
            holding,
            client: self.client.user,
            client_name: self.client.name.clone(),
            identity,
            credential: self.credential.clone(),
            begun,
            until: begun + self.config.lease_time.as_secs(),
            used: begun,
        }
    }

    fn renewed(&self, record: LeaseRecord) -> LeaseRecord {
        let used = now();
        let until = used + self.config.lease_time.as_secs();
        LeaseRecord { credential: self.credential.clone(), used, until, ..record }
    }

    /// Locks an account as used. An account that is cleaned has no lease any more, and the table is
    /// locked: so a lock of another process is one for a moment only.
    fn hold(&self, slot: &Slot) -> Result<File> {
        let held = slot.open_use()?;
        flock::lock(&held, Lock::Shared, MOMENT).map_err(|cause| self.busy(slot, cause))?;
        Ok(held)
    }

    fn busy(&self, slot: &Slot, cause: sys::Errno) -> Refusal {
        Refusal::internal(format!(
            "cannot lock the account {}: {cause}: try again",
            Shown(slot.account())
        ))
    }

    fn audit_begin(&self, record: &LeaseRecord) {
        audit::write(&Event::LeaseBegun {
            lease: record.audited(),
            credential: &record.credential.path,
            until: record.until,
        });
    }

    /// Refuses a new lease while the accounts are drained.
    fn permit_new(&self) -> Result<()> {
        match std::path::Path::new(DRAIN).exists() {
            false => Ok(()),
            true => Err(Refusal::internal(
                "no new lease begins on this machine: an administrator has run glexec_accounts \
                 drain, and can end that by glexec_accounts drain --off",
            )),
        }
    }

    fn exhausted(&self) -> Refusal {
        match self.guests().next() {
            None => Refusal::not_authorized(format!(
                "{} owns no account, and there are no guest accounts: an administrator can add \
                 one by glexec_accounts add",
                match self.subject {
                    Some(subject) => Shown(subject.as_bytes()),
                    None => Shown(&self.client.name),
                }
            )),
            Some(_) => Refusal::internal(
                "no guest account is free: wait for the end of another job; an administrator can \
                 add accounts by glexec_accounts add, or see by glexec_accounts list which leases \
                 there are",
            ),
        }
    }
}
