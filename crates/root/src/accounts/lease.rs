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
use super::list::{AccountList, Entry};
use super::new_id;
use super::queue::{self, Ticket};
use super::record::{Identity, LeaseRecord};
use super::resolve::resolve;
use super::table::{DRAIN, Slot, Table, now};
use crate::config::Config;
use crate::mapping::target::{self, TargetAccount};
use crate::mapping::{self, Mode};

/// How often a call that waits looks for a free account.
const PAUSE: Duration = Duration::from_millis(50);

/// How often a call that waits looks for leases that are over.
const SWEEP: Duration = Duration::from_secs(1);

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

/// What a look at the table has found for a call.
enum Look {
    /// A lease.
    Leased(Box<Leased>),
    /// A free account that is to be cleaned first, while the table is not locked.
    Unused(Slot),
    /// Nothing now.
    Nothing,
}

impl Look {
    fn leased(record: LeaseRecord, target: &TargetAccount, held: File) -> Look {
        Look::Leased(Box::new(Leased { record, target: target.clone(), held }))
    }
}

/// Notes that a lease is used: its time begins again.
pub fn renew(record: &LeaseRecord, config: &Config) -> Result<()> {
    let slot = Slot::of(&record.account)?;
    let find = || slot.lease_of(record.client).filter(|found| found.lease == record.lease);
    // After a short payload there is nothing to write, and no other call has to wait.
    if find().is_none_or(|found| is_current(&found, config)) {
        return Ok(());
    }
    let _table = Table::lock()?;
    match find() {
        Some(found) => slot.write(&renewed(found, config)),
        None => Ok(()),
    }
}

/// The record of a lease that is used now.
fn renewed(record: LeaseRecord, config: &Config) -> LeaseRecord {
    let used = now();
    let until = used + config.lease_time.as_secs();
    LeaseRecord { used, until, ..record }
}

/// Whether a record says already that the lease is used now.
fn is_current(record: &LeaseRecord, config: &Config) -> bool {
    let now = now();
    (record.used, record.until) == (now, now + config.lease_time.as_secs())
}

/// Writes the beginning of a lease to the audit, if it does not have it: a call that was killed may
/// have made the lease. Nothing runs before that. The table is locked meanwhile.
pub(super) fn tell(slot: &Slot, record: LeaseRecord) -> Result<LeaseRecord> {
    if record.is_told {
        return Ok(record);
    }
    audit::write(&Event::LeaseBegun {
        lease: record.audited(),
        credential: &record.credential.path,
        until: record.until,
    });
    let record = LeaseRecord { is_told: true, ..record };
    slot.write(&record)?;
    Ok(record)
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

    /// The lease that the identity has; none begins.
    pub fn find(&self) -> Result<Option<LeaseRecord>> {
        let identities = match self.subject {
            Some(_) => [self.identity(), self.identity()],
            None => [self.identity(), Identity::Caller(self.client.name.clone())],
        };
        let is_own = |record: &LeaseRecord| {
            record.client == self.client.user && identities.contains(&record.identity)
        };
        Ok(super::leases()?.into_iter().find(is_own))
    }

    /// The account that the identity owns.
    fn owned(&self) -> Option<&[u8]> {
        let is_owned = |entry: &&Entry| match self.subject {
            Some(subject) => entry.is_owned_by_subject(subject.as_bytes()),
            None => entry.is_owned_by_caller(&self.client.name),
        };
        let entry = self.list.entries().iter().find(is_owned)?;
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
        if slot.is_of_guest() {
            let name = Shown(account);
            return Err(Refusal::internal(format!(
                "the account {name} was a guest account, and that lease is not over: an \
                 administrator can end it by glexec_accounts release {name}"
            )));
        }
        // One that is over has the name that the next one gets at its end.
        end::tell_over(&slot, "interrupted")?;
        let found = slot.lease_of(self.client.user);
        let found =
            found.filter(|record| record.identity == identity && record.holding == Holding::Owned);
        if found.is_none() {
            self.permit_new()?;
        }
        let held = self.hold(&slot)?;
        let record = match found {
            Some(record) => self.renew(&slot, record)?,
            None => {
                let record = self.record(&target, identity, Holding::Owned);
                slot.write(&record)?;
                record
            }
        };
        let record = tell(&slot, record)?;
        Ok(Leased { record, target, held })
    }

    fn acquire_guest(&self) -> Result<Leased> {
        let deadline = Instant::now() + self.config.lease_wait;
        let guests = self.guests()?;
        if guests.is_empty() {
            return Err(self.without_guests());
        }
        let (mut ticket, mut next_sweep) = (None, Instant::now());
        let (mut cleaned, mut trouble) = (None, None);
        loop {
            match self.look(&guests, ticket.as_ref(), cleaned.as_ref())? {
                Look::Leased(leased) => return Ok(*leased),
                Look::Unused(slot) => {
                    end::clean_unused(&slot)?;
                    cleaned = Some(slot);
                    continue;
                }
                Look::Nothing => {}
            }
            if Instant::now() >= next_sweep {
                trouble = end::sweep().err();
                next_sweep = Instant::now() + SWEEP;
            } else if Instant::now() >= deadline {
                let full = Refusal::internal(
                    "no guest account is free: wait for the end of another job; an administrator \
                     can add accounts by glexec_accounts add, or see by glexec_accounts list which \
                     leases there are",
                );
                return Err(trouble.unwrap_or(full));
            } else if (self.is_abandoned)() {
                return Err(Refusal::internal("the client is gone"));
            } else if ticket.is_none() {
                ticket = Some(Ticket::take(&Table::lock()?)?);
            } else {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Looks for the lease of the identity; and then for a free account, if calls that wait leave
    /// one. All of it while the table is locked: so no identity gets two accounts, and no account
    /// two leases.
    fn look(
        &self,
        guests: &[TargetAccount],
        ticket: Option<&Ticket>,
        cleaned: Option<&Slot>,
    ) -> Result<Look> {
        let identity = self.identity();
        let table = Table::lock()?;
        let slots: Vec<(Slot, &TargetAccount)> = guests
            .iter()
            .map(|target| Ok((Slot::of(&target.account.name)?, target)))
            .collect::<Result<_>>()?;
        for (slot, target) in &slots {
            let found = slot
                .lease_of(self.client.user)
                .filter(|record| record.identity == identity && record.holding == Holding::Guest);
            if let Some(record) = found {
                let held = self.hold(slot)?;
                let record = self.renew(slot, record)?;
                return Ok(Look::leased(tell(slot, record)?, target, held));
            }
        }
        if self.mode == Mode::VerifyAccount {
            return Err(mapping::no_lease(&Shown(identity.value())));
        }
        self.permit_new()?;
        let mut free: Vec<_> = slots.into_iter().filter(|(slot, _)| slot.is_free()).collect();
        if free.len() <= queue::before(&table, ticket) {
            return Ok(Look::Nothing);
        }
        // The account that was used last comes last; one that this call has cleaned comes first.
        free.sort_by_key(|(slot, _)| (cleaned != Some(slot), slot.last_use()));
        for (slot, target) in free {
            if !slot.is_used() {
                return Ok(Look::Unused(slot));
            }
            let held = slot.open_use()?;
            // An account without a lease that is used is one whose list has changed.
            if flock::lock(&held, Lock::Exclusive, Duration::ZERO).is_err() {
                continue;
            }
            let record = self.record(target, identity, Holding::Guest);
            slot.write(&record)?;
            // Not atomic: but others lock it exclusively only while the table is locked.
            flock::lock(&held, Lock::Shared, MOMENT).map_err(|cause| self.busy(&slot, cause))?;
            return Ok(Look::leased(tell(&slot, record)?, target, held));
        }
        Ok(Look::Nothing)
    }

    /// The guest accounts that can be used.
    fn guests(&self) -> Result<Vec<TargetAccount>> {
        let all = resolve(self.list.entries(), self.config)?.into_iter();
        Ok(all
            .filter(|resolved| resolved.entry.owner.is_none())
            .filter_map(|resolved| resolved.target.ok())
            .collect())
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
            is_told: false,
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

    /// Notes that a lease is used, by a credential at this place. Nothing is written where all of
    /// that is noted.
    fn renew(&self, slot: &Slot, record: LeaseRecord) -> Result<LeaseRecord> {
        if record.credential == *self.credential && is_current(&record, self.config) {
            return Ok(record);
        }
        let credential = self.credential.clone();
        let record = LeaseRecord { credential, ..renewed(record, self.config) };
        slot.write(&record)?;
        Ok(record)
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

    /// Refuses a new lease while the accounts are drained.
    fn permit_new(&self) -> Result<()> {
        match std::path::Path::new(DRAIN).exists() {
            false => Ok(()),
            true => Err(Refusal::internal(
                "no new lease begins on this machine: an administrator has run glexec_accounts \
                 drain, and can end that by glexec_accounts undrain",
            )),
        }
    }

    fn without_guests(&self) -> Refusal {
        let identity = match self.subject {
            Some(subject) => Shown(subject.as_bytes()),
            None => Shown(&self.client.name),
        };
        Refusal::not_authorized(format!(
            "{identity} owns no account, and there is no guest account that can be used: an \
             administrator can add one by glexec_accounts add, and see by glexec_accounts list why \
             one cannot be used"
        ))
    }
}
