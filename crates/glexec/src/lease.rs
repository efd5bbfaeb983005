//! Leases: which subordinate ids belong to which credential, for all calls that are made with it.
//!
//! They are kept in a [`Table`], the usual one or what a variable names; the ids of another one are
//! claimed in the usual one as well, so that no two tables give away the same.
//!
//! A lease ends when its credential is gone, no call is made with it any more, and none of its
//! processes is left. The calls of a lease hold a lock together, for a credential may be out of its
//! place for a moment, while its sandbox changes hands.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use error::Shown;
use sys::fd::{self, Lock};
use sys::{Gid, Pid, Uid};

use super::credential::Credential;
use super::holder::{self, Holder};
use super::members;
use super::ranges::Ranges;
use super::refusal::{Refusal, Result};
use super::table::{self, Entry, PATIENCE, Table};

/// The leases, as long as nobody else can change them.
#[derive(Debug)]
pub struct Leases {
    table: Table,
    /// Where its ids are claimed, if it is not the usual table.
    usual: Option<PathBuf>,
    ranges: Ranges,
}

/// The ids for one credential.
#[derive(Debug)]
pub struct Lease {
    /// The user id.
    pub user: Uid,
    /// The group id.
    pub group: Gid,
    /// The user namespace in which processes of it live; none if nobody lives.
    pub namespace: Option<OwnedFd>,
    credential: Credential,
    /// The guards of the other calls that are made with it.
    holders: Vec<Holder>,
    /// Says that a call is made with it, as long as a process holds it open.
    _call: File,
}

impl Leases {
    /// Opens the usual table in its directory, or another one, and waits for its turn.
    pub fn lock(usual: PathBuf, other: Option<PathBuf>, ranges: Ranges) -> Result<Leases> {
        let table = Table::lock(other.as_deref().unwrap_or(&usual), PATIENCE)?;
        let usual = (!table.is_in(&usual)).then_some(usual);
        Ok(Leases { table, usual, ranges })
    }

    /// The lease for a credential: the one that it has, or a new one; `wanted` is the user that it
    /// must be for, if that matters.
    pub fn take(&self, credential: &Credential, wanted: Option<Uid>) -> Result<Lease> {
        let is_same = |entry: &Entry| {
            entry.credential.as_ref().is_some_and(|found| found.place == credential.place)
        };
        let entries = self.without_those_over(&self.table, is_same)?;
        match entries.iter().find(|entry| is_same(entry)) {
            Some(entry) => self.again(entry, credential, wanted),
            None => self.new_one(&entries, credential, wanted),
        }
    }

    /// The lease that a credential has.
    fn again(&self, entry: &Entry, credential: &Credential, wanted: Option<Uid>) -> Result<Lease> {
        let shown = Shown::os(&credential.path);
        let Some((user, group)) = self.ids_of(entry.user) else {
            return Err(Refusal::internal(format!(
                "the lease of {shown} is for uid {}, which is no subordinate id of yours any more",
                entry.user
            )));
        };
        if wanted.is_some_and(|wanted| wanted != user) {
            return Err(Refusal::client(format!(
                "the lease of this credential is for uid {user} (GLEXEC_LEASE_UID)"
            )));
        }
        if let Some(usual) =
            self.usual.as_deref().filter(|usual| !self.table.has_claimed(user, usual))
        {
            let usual = Table::lock(usual, PATIENCE)?;
            if self.taken_in(&usual)?.contains(&user) {
                return Err(Refusal::internal(format!(
                    "the lease of {shown} is for uid {user}, which is another payload's by now (GLEXEC_STATE_DIR)"
                )));
            }
            usual.claim(user, &self.table)?;
        }
        let holders: Vec<Holder> = entry.holders.iter().copied().filter(Holder::lives).collect();
        let (call, namespace) = (self.call(user)?, holder::namespace_of((user, group), &holders)?);
        Ok(Lease { user, group, namespace, credential: credential.clone(), holders, _call: call })
    }

    /// A new lease. Its id is nobody's: not in this table, not in another one, and no process has
    /// it.
    fn new_one(
        &self,
        entries: &[Entry],
        credential: &Credential,
        wanted: Option<Uid>,
    ) -> Result<Lease> {
        let usual = self.usual.as_deref().map(|usual| Table::lock(usual, PATIENCE)).transpose()?;
        let leased =
            entries.iter().filter(|entry| entry.credential.is_some()).map(|entry| entry.user);
        let mut taken = match &usual {
            Some(usual) => self.taken_in(usual)?,
            None => self.claimed_in(&self.table)?,
        };
        taken.extend(leased.chain(members::ids_in_use(|user| self.ids_of(*user).is_some())?));
        let ids = match wanted {
            None => self.unused(entries, &taken)?,
            Some(user) => match self.ids_of(user) {
                None => {
                    return Err(Refusal::client(format!(
                        "uid {user} is no subordinate id of yours (GLEXEC_LEASE_UID)"
                    )));
                }
                Some(_) if taken.contains(&user) => {
                    return Err(Refusal::client(format!(
                        "uid {user} is another payload's now (GLEXEC_LEASE_UID)"
                    )));
                }
                ids => ids,
            },
        };
        let Some((user, group)) = ids else {
            return Err(Refusal::internal(format!(
                "all {} subordinate ids are in use: an administrator can give more (usermod --add-subuids)",
                self.ranges.count()
            )));
        };
        if let Some(usual) = &usual {
            usual.claim(user, &self.table)?;
        }
        let (call, credential) = (self.call(user)?, credential.clone());
        let lease =
            Lease { user, group, namespace: None, credential, holders: Vec::new(), _call: call };
        self.hold(&lease, None)?;
        Ok(lease)
    }

    /// Ids that are not taken: some that never were leased, as long as there are such; then those
    /// that were given back first.
    fn unused(&self, entries: &[Entry], taken: &HashSet<Uid>) -> Result<Option<(Uid, Gid)>> {
        let mut untold: Vec<&Entry> =
            entries.iter().filter(|entry| entry.credential.is_none()).collect();
        untold.sort_by_key(|entry| entry.used);
        let again: Vec<Uid> =
            untold.into_iter().map(|entry| entry.user).chain(self.table.free()?).collect();
        // There may be as many as there are ids, mostly in order: sorted, they are searched in no
        // time.
        let mut used = again.clone();
        used.sort_unstable_by_key(|user| user.as_raw());
        let all = (0..self.ranges.count()).filter_map(|place| self.ranges.at(place));
        let never = all.filter(|(user, _)| {
            used.binary_search_by_key(&user.as_raw(), |user| user.as_raw()).is_err()
        });
        let mut unused = never.chain(again.iter().filter_map(|user| self.ids_of(*user)));
        Ok(unused.find(|(user, _)| !taken.contains(user)))
    }

    /// The ids that leases of the usual table have, and those of other tables.
    fn taken_in(&self, usual: &Table) -> Result<HashSet<Uid>> {
        let leased = self.without_those_over(usual, |_| false)?;
        let leased =
            leased.iter().filter(|entry| entry.credential.is_some()).map(|entry| entry.user);
        Ok(self.claimed_in(usual)?.into_iter().chain(leased).collect())
    }

    /// The ids that leases of other tables have. A table may never be used again: those of its
    /// leases end here that are over.
    fn claimed_in(&self, usual: &Table) -> Result<HashSet<Uid>> {
        let mut claimed = HashSet::new();
        for (user, lease) in usual.claims()? {
            // One that is locked is in use, or this call's own; and one that is just being removed
            // is gone for the next call.
            let table =
                lease.parent().and_then(|directory| Table::lock(directory, Duration::ZERO).ok());
            let left = table
                .and_then(|table| self.without_those_over(&table, |entry| entry.user != user).ok());
            if left.is_some_and(|left| left.iter().all(|entry| entry.user != user)) {
                usual.give_back(user)?;
            } else {
                claimed.insert(user);
            }
        }
        Ok(claimed)
    }

    /// What is leased in a table, after those leases have ended that are over, but for those that
    /// are to be kept.
    fn without_those_over(
        &self,
        table: &Table,
        is_kept: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Entry>> {
        let mut left = Vec::new();
        for entry in table.entries()? {
            let is_over = |entry: &Entry| {
                entry
                    .credential
                    .as_ref()
                    .is_some_and(|credential| table::is_gone(credential, entry.used))
            };
            if is_kept(&entry) || !is_over(&entry) || !self.end(table, entry.user)? {
                left.push(entry);
            }
        }
        Ok(left)
    }

    /// Ends the lease of a user id, unless calls are made with it, or somebody who has it does not
    /// end. Whether it has ended.
    fn end(&self, table: &Table, user: Uid) -> Result<bool> {
        let calls = table.calls(user)?;
        let is_idle = fd::lock(&calls, Lock::Alone, Duration::ZERO).is_ok();
        // Ids that are the caller's no more are nobody's to give away again.
        if !is_idle || !self.ids_of(user).is_none_or(members::end_all) {
            return Ok(false);
        }
        table.give_back(user)?;
        Ok(true)
    }

    /// Notes that there is a guard, and lets the others have their turn.
    pub fn started(self, lease: &Lease, guard: Pid) -> Result<()> {
        self.hold(lease, Holder::of(guard))
    }

    /// What a call with this user id holds.
    fn call(&self, user: Uid) -> Result<File> {
        let calls = self.table.calls(user)?;
        // Who locks it alone has locked the table, too: nobody does.
        let held = fd::lock(&calls, Lock::Together, Duration::ZERO).map_err(std::io::Error::from);
        // Both are in use, as those see it who clean up what is old.
        let touched = held
            .and_then(|()| calls.set_modified(SystemTime::now()))
            .and_then(|()| self.table.touch(user));
        touched.map_err(|error| {
            Refusal::internal(format!("cannot use the lease of uid {user}: {error}"))
        })?;
        Ok(calls)
    }

    fn hold(&self, lease: &Lease, guard: Option<Holder>) -> Result<()> {
        self.table.hold(lease.user, &lease.credential, lease.holders.iter().copied().chain(guard))
    }

    /// The ids of a user, if it is a subordinate one of the caller's.
    fn ids_of(&self, user: Uid) -> Option<(Uid, Gid)> {
        self.ranges.at(self.ranges.place_of(user)?)
    }
}
