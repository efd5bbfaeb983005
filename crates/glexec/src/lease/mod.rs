//! Leases: each assigns one subordinate id to one credential, for all calls with that credential.
//!
//! [`acquire`] is the whole way of a call to its lease, and [`Acquired::commit`] ends it:
//!
//! 1. [`default_place`] finds the default directory, and [`table`] locks the table: the default
//!    one, or that of `GLEXEC_STATE_DIR`, whose ids are claimed in the default one also, so that no
//!    two tables lease the same id;
//! 2. [`reclaim`] ends leases that are over: the credential is gone, no call uses the lease, and
//!    none of its processes is left;
//! 3. the credential's lease is renewed, or an id is allocated;
//! 4. the call pins the lease: it holds a shared lock, since a credential can be missing from its
//!    path for a moment, while its sandbox is handed over;
//! 5. [`namespace`] opens the user namespace of the lease's processes, if it has any;
//! 6. once a guard runs, `commit` records it and unlocks the table.
//!
//! A call that changes the owner of a directory starts no payload, and no other call may meanwhile:
//! it takes the lock in step 4 exclusively, and its last step is [`Acquired::unlock`].
//!
//! [`free_ids`] only counts what can be leased.

mod default_place;
mod free;
mod guard_id;
mod namespace;
mod processes;
mod reclaim;
mod table;

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::flock::{self, Lock};
use sys::{Errno, Pid, Uid, process};

pub use self::free::free_ids;
use self::guard_id::GuardId;
use self::table::{Entry, LOCK_TIMEOUT, Table};
use crate::location::Location;
use crate::ranges::{Ids, Ranges};
use crate::request::Wish;

/// How long a call waits until the payloads that it has killed have ended, and their callers.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// How long other calls of a lease may take to end by themselves, after the payload whose directory
/// is taken back.
const GRACE: Duration = Duration::from_secs(1);

/// What a call uses a lease for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// It runs a payload, also beside others.
    Payload,
    /// It runs the first payload, which gets a directory before it runs.
    HandOver,
    /// It gives a directory to the lease's user, which has no process meanwhile.
    Give,
    /// It takes a directory from the lease's user, which has no process meanwhile.
    Take {
        /// Those that there are get killed.
        end: bool,
    },
}

/// The default directory of a user's leases; none if the user has not had any.
pub(crate) fn default_directory(user: Uid) -> Result<Option<PathBuf>> {
    default_place::existing(user)
}

/// The ids of one credential.
#[derive(Debug)]
pub(crate) struct Lease {
    /// The user id and the group id.
    pub(crate) ids: Ids,
    /// The user namespace of the lease's processes; none if it has no process.
    pub(crate) namespace: Option<OwnedFd>,
    /// The guards of the other calls that use it.
    guards: Vec<GuardId>,
    /// Holds the lock of the call, as long as a process keeps it open.
    pub(crate) calls: File,
}

impl Lease {
    /// Notes that the lease has no process: the guard has ended after [`Lease::end_others`], and
    /// the lock is still exclusive. So no process has to be killed when the lease ends.
    pub(crate) fn mark_idle(&self) {
        let _ = self.calls.set_len(IDLE);
    }

    /// Locks the lease alone after all processes of its user have been killed, whose namespace the
    /// guard of this call has made. Those below the guard have ended.
    pub(crate) fn end_others(&self, guard: Pid) -> Result<()> {
        let ids = self.ids;
        let namespace = sys::namespace::user_namespace_of(guard)
            .map_err(|cause| unusable(ids.user, &format_args!("its namespace: {cause}")))?;
        let kill_all = || require_end(ids, processes::kill_all_in(&namespace, ids));
        // A call that signals the payload ends when that has ended.
        match flock::lock(&self.calls, Lock::Exclusive, GRACE) {
            Ok(()) => kill_all(),
            Err(_) => lock_ending(&self.calls, ids, kill_all),
        }
    }
}

/// The length of a calls file of a lease that has no process. It is empty as soon as a call uses
/// the lease.
const IDLE: u64 = 1;

/// The lease of a call that has not started its payload. The table is locked meanwhile, so that
/// another call with the same credential joins the namespace that this one makes.
#[derive(Debug)]
pub(crate) struct Acquired {
    /// The lease.
    pub(crate) lease: Lease,
    credential: Location,
    table: Table,
}

/// Acquires the lease that a call asks for.
pub(crate) fn acquire(wish: &Wish, usage: Usage, ranges: &Ranges) -> Result<Acquired> {
    let Wish { credential, wanted, state_dir } = wish;
    let default = default_place::find(process::geteuid())?;
    let table = Table::lock(state_dir.as_deref().unwrap_or(&default), LOCK_TIMEOUT)?;
    let default = (!table.is_in(&default)).then_some(default);
    let is_same = |entry: &Entry| {
        entry.credential.as_ref().is_some_and(|found| found.place == credential.place)
    };
    let entries = reclaim::reclaim(&table, ranges, is_same)?;
    let call = Acquisition { credential, wanted: *wanted, usage, table: &table, default, ranges };
    let lease = match entries.iter().find(|entry| is_same(entry)) {
        Some(entry) => call.renew(entry)?,
        None => call.allocate(&entries)?,
    };
    Ok(Acquired { lease, credential: credential.clone(), table })
}

impl Acquired {
    /// Records the guard, and unlocks the table. The call uses the lease until it drops it.
    pub(crate) fn commit(self, guard: Pid) -> Result<Lease> {
        let guards = self.lease.guards.iter().copied().chain(GuardId::of(guard));
        self.table.write_entry(self.lease.ids.user, &self.credential, guards)?;
        Ok(self.lease)
    }

    /// The directory of the table.
    pub(crate) fn directory(&self) -> &Path {
        self.table.directory()
    }

    /// Unlocks the table. No call starts a payload with the lease until this one drops it.
    pub(crate) fn unlock(self) -> Lease {
        self.lease
    }
}

/// What a call needs to acquire a lease.
struct Acquisition<'a> {
    credential: &'a Location,
    wanted: Option<Uid>,
    usage: Usage,
    table: &'a Table,
    /// Where the ids are claimed; none if the table is the default one.
    default: Option<PathBuf>,
    ranges: &'a Ranges,
}

impl Acquisition<'_> {
    /// The lease that the credential has.
    fn renew(&self, entry: &Entry) -> Result<Lease> {
        let shown = Shown::os(&self.credential.path);
        let user = entry.user;
        let Some(ids) = self.ranges.ids_of(user) else {
            return Err(Refusal::internal(format!(
                "the lease of {shown} has uid {user}, which is no longer one of your subordinate \
                 ids"
            )));
        };
        if self.wanted.is_some_and(|wanted| wanted != user) {
            return Err(Refusal::client(format!(
                "the lease of {shown} has uid {user}, not the one of GLEXEC_LEASE_UID"
            )));
        }
        if let Some(default) = &self.default {
            if !self.table.renew_claim(user, default) {
                let default = Table::lock(default, LOCK_TIMEOUT)?;
                if reclaim::leased_ids(&default, self.ranges)?.contains(&user) {
                    return Err(Refusal::internal(format!(
                        "the lease of {shown} in GLEXEC_STATE_DIR has uid {user}, which is leased \
                         to another credential"
                    )));
                }
                default.write_claim(user, self.table)?;
            }
        }
        let guards: Vec<GuardId> = entry.guards.iter().copied().filter(GuardId::is_alive).collect();
        let calls = self.pin(ids)?;
        let namespace = match self.usage {
            Usage::Payload => namespace::open(ids, &guards)?,
            Usage::HandOver | Usage::Give | Usage::Take { .. } => None,
        };
        Ok(Lease { ids, namespace, guards, calls })
    }

    /// A new lease. No table has its id, and no process.
    fn allocate(&self, entries: &[Entry]) -> Result<Lease> {
        let default = self.default.as_deref().map(|default| Table::lock(default, LOCK_TIMEOUT));
        let default = default.transpose()?;
        let mut taken = match &default {
            Some(default) => reclaim::leased_ids(default, self.ranges)?,
            None => reclaim::claimed_ids(self.table, self.ranges)?,
        };
        taken.extend(reclaim::users_of(entries));
        taken.extend(processes::user_ids_in_use(|user| self.ranges.ids_of(*user).is_some())?);
        let ids = match self.wanted {
            Some(user) => self.wanted_ids(user, &taken)?,
            None => self.choose_ids(entries, &taken)?,
        };
        if let Some(default) = &default {
            default.write_claim(ids.user, self.table)?;
        }
        let calls = self.pin(ids)?;
        self.table.write_entry(ids.user, self.credential, std::iter::empty())?;
        Ok(Lease { ids, namespace: None, guards: Vec::new(), calls })
    }

    /// The ids that `GLEXEC_LEASE_UID` asks for.
    fn wanted_ids(&self, user: Uid, taken: &HashSet<Uid>) -> Result<Ids> {
        let why = match self.ranges.ids_of(user) {
            None => "is not one of your subordinate ids",
            Some(_) if taken.contains(&user) => "is leased to another credential",
            Some(ids) => return Ok(ids),
        };
        Err(Refusal::client(format!("uid {user} {why} (GLEXEC_LEASE_UID)")))
    }

    /// Ids that are not taken: first those that were never leased, then those whose lease ended
    /// first.
    fn choose_ids(&self, entries: &[Entry], taken: &HashSet<Uid>) -> Result<Ids> {
        let mut damaged: Vec<&Entry> =
            entries.iter().filter(|entry| entry.credential.is_none()).collect();
        damaged.sort_by_key(|entry| entry.last_use);
        let damaged = damaged.into_iter().map(|entry| entry.user);
        let released: Vec<Uid> = damaged.chain(self.table.read_released()?).collect();
        // There can be as many as there are ids, mostly in order: then sorting takes no time.
        let mut sorted: Vec<u32> = released.iter().map(|user| user.as_raw()).collect();
        sorted.sort_unstable();
        let all = (0..self.ranges.count()).filter_map(|index| self.ranges.at(index));
        let never = all.filter(|ids| sorted.binary_search(&ids.user.as_raw()).is_err());
        let again = released.iter().filter_map(|user| self.ranges.ids_of(*user));
        never.chain(again).find(|ids| !taken.contains(&ids.user)).ok_or_else(|| {
            Refusal::internal(format!(
                "all {} subordinate ids are in use: an administrator can give more \
                 (usermod --add-subuids)",
                self.ranges.count()
            ))
        })
    }

    /// Takes the lock of a call that uses the lease. Programs that remove old files see a new use.
    fn pin(&self, ids: Ids) -> Result<File> {
        let calls = self.table.open_calls_file(ids.user)?;
        match self.usage {
            Usage::Payload => self.lock_shared(&calls, ids.user)?,
            Usage::Give | Usage::HandOver => {
                self.lock_idle(&calls, ids, "wait until it has ended")?;
            }
            Usage::Take { end: false } => {
                self.lock_idle(&calls, ids, "wait until it has ended, or use --end to kill it")?;
                kill_all(ids)?;
            }
            Usage::Take { end: true } => lock_ending(&calls, ids, || kill_all(ids))?,
        }
        let used = calls.set_len(0).and_then(|()| self.table.touch(ids.user, &calls));
        used.map_err(|error| unusable(ids.user, &error))?;
        Ok(calls)
    }

    /// A call that changes an owner keeps the table locked until it has its lock: that one keeps
    /// its lock for longer.
    fn lock_shared(&self, calls: &File, user: Uid) -> Result<()> {
        flock::lock(calls, Lock::Shared, Duration::ZERO).map_err(|cause| match cause {
            Errno::EAGAIN => unusable(user, &"a call of glexec changes the owner of a directory"),
            cause => unusable(user, &cause),
        })
    }

    /// Locks the lease of a user that has no process. Where it has, the directory can be copied;
    /// `advice` says what else to do.
    fn lock_idle(&self, calls: &File, ids: Ids, advice: &str) -> Result<()> {
        let refused = |why: String| {
            Err(Refusal::copy(format!("cannot use the lease of uid {}: {why}", ids.user)))
        };
        let alive = || processes::of(ids.user).first().copied();
        if let Some(pid) = alive() {
            return refused(format!("process {pid} of it is alive: {advice}"));
        }
        // A call that changes an owner, whose caller was killed, undoes what it has done.
        let locked = flock::lock(calls, Lock::Exclusive, END_TIMEOUT);
        match (locked, alive()) {
            (Ok(()), None) => Ok(()),
            (_, Some(pid)) => refused(format!("process {pid} of it is alive: {advice}")),
            (Err(_), None) => refused(format!("another call of glexec uses it: {advice}")),
        }
    }
}

/// Locks the lease after all processes of its user have been killed.
fn lock_ending(calls: &File, ids: Ids, kill_all: impl Fn() -> Result<()>) -> Result<()> {
    let until = Instant::now() + END_TIMEOUT;
    loop {
        // The callers of the payloads unlock it when they see that these have ended.
        kill_all()?;
        if flock::lock(calls, Lock::Exclusive, Duration::ZERO).is_ok() {
            // A call may have started its payload between the two.
            return kill_all();
        }
        if Instant::now() > until {
            return Err(unusable(ids.user, &"another call of glexec uses it and does not end"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Kills all processes of a lease's user, which have ended when it returns.
fn kill_all(ids: Ids) -> Result<()> {
    require_end(ids, processes::kill_all(ids))
}

fn require_end(ids: Ids, has_ended: bool) -> Result<()> {
    if has_ended {
        return Ok(());
    }
    Err(unusable(ids.user, &"processes of it do not end after SIGKILL"))
}

fn unusable(user: Uid, why: &dyn std::fmt::Display) -> Refusal {
    Refusal::internal(format!("cannot use the lease of uid {user}: {why}"))
}
