//! The end of leases. An account with an owner may be his login: then only the record is removed,
//! and payloads have ended before. A guest account is cleaned: no process of the account is left,
//! and no file in the directories where every user may make files; else it is not leased again.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cgroup::Cgroup;
use command::accounts;
use command::location::Location;
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::flock::{self, Lock};
use sys::signal::{SIGKILL, SIGTERM};
use sys::{Gid, Uid, flock_holders, pidfd};

use super::audit::{self, Event, Holding};
use super::lease;
use super::leftovers::{self, Unclean};
use super::payloads::{self, PayloadRecord};
use super::record::{Identity, LeaseRecord};
use super::table::{Slot, Table, now};
use crate::mapping::credential_lease::gone::gone;
use crate::processes;

/// How long the payloads of an account may take to end.
const TIMEOUT: Duration = Duration::from_secs(30);

/// After which part of it the processes above them are killed. They may have scripts to run.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a call may use a guest account that is released, and have no payload. It needs moments,
/// unless something that its client has passed holds it.
const MOMENT: Duration = Duration::from_secs(3);

/// How often the end of payloads is looked for.
const PAUSE: Duration = Duration::from_millis(10);

/// How long the end of a payload is kept for a client that asks for it, in seconds.
const KEPT: u64 = 86_400;

/// The group of the processes that clean what a deleted account has left: the kernel's group for
/// ids that do not exist (/proc/sys/kernel/overflowgid).
const NO_GROUP: Gid = Gid::from_raw(65_534);

/// What a release has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// How many payloads.
    pub payloads: usize,
    /// How many leases.
    pub leases: usize,
    /// Why the account could not be cleaned, if that is so.
    pub quarantine: Option<String>,
}

/// Ends what is over: payloads whose process was killed, leases whose time is over or whose
/// credential is gone, if no process uses them, and cleanings that were interrupted. The first
/// error of an account is returned; the others were swept all the same.
pub fn sweep() -> Result<()> {
    // What fails for one account does not keep the others from being free.
    Slot::all()?.iter().map(sweep_account).fold(Ok(()), Result::and)
}

fn sweep_account(slot: &Slot) -> Result<()> {
    end_dead_payloads(slot)?;
    tell_all(slot)?;
    if slot.is_ending() && slot.quarantine().is_none() {
        finish_interrupted(slot)?;
    }
    for (record, reason) in over(slot)? {
        end(slot, &record, reason)?;
    }
    Ok(())
}

/// Ends the payloads and the leases of an account: of one client, or of all.
pub fn release(account: &[u8], client: Option<Uid>, reason: &str) -> Result<Released> {
    let slot = Slot::of(account)?;
    let is_asked = |uid: Uid| client.is_none_or(|client| client == uid);
    let mut released = Released { payloads: end_payloads(&slot, is_asked)?, ..Released::default() };
    let leases = || slot.leases().into_iter().filter(|record| is_asked(record.client));
    // A client that has an account with an owner ends its own calls itself.
    if client.is_none() || leases().any(|record| record.holding == Holding::Guest) {
        end_calls(&slot)?;
    }
    end_dead_payloads(&slot)?;
    tell_all(&slot)?;
    let leases: Vec<_> = leases().collect();
    for record in leases {
        released.leases += usize::from(end(&slot, &record, reason)?);
    }
    if client.is_none() && (slot.quarantine().is_some() || slot.is_ending()) {
        finish_interrupted(&slot)?;
    }
    released.quarantine = slot.quarantine();
    Ok(released)
}

/// Ends the payloads of an account that some clients have, and waits for their end. The process
/// above a payload that does not end it is killed, and the payload with it. Returns how many there
/// were.
pub(super) fn end_payloads(slot: &Slot, is_asked: impl Fn(Uid) -> bool) -> Result<usize> {
    let running = || {
        let all = payloads::of(slot).into_iter();
        all.filter(|record| record.is_running && is_asked(record.client)).collect::<Vec<_>>()
    };
    let first = running();
    let begun = Instant::now();
    let deadline = begun + TIMEOUT;
    let mut left = first.clone();
    while !left.is_empty() {
        if Instant::now() > deadline {
            return Err(Refusal::internal(format!(
                "{} payloads of the account do not end",
                left.len()
            )));
        }
        let is_late = begun.elapsed() > PATIENCE;
        for record in &left {
            payloads::signal(slot, record, if is_late { SIGKILL } else { SIGTERM });
            if let (true, Some(path)) = (is_late, &record.cgroup) {
                _ = Cgroup::at(path).end();
            }
        }
        std::thread::sleep(PAUSE);
        left = running();
    }
    Ok(first.len())
}

/// Ends the calls that use an account and have no payload, if they do not end.
fn end_calls(slot: &Slot) -> Result<()> {
    if !slot.is_used() {
        return Ok(());
    }
    let held = slot.open_use()?;
    let users = || {
        let failed = |cause| Refusal::internal(format!("cannot read the locks of files: {cause}"));
        flock_holders::sharing(&held).map_err(failed)
    };
    // Calls that come meanwhile are not asked to end: of an account with an owner there are more.
    let first = users()?;
    let begun = Instant::now();
    while begun.elapsed() < 2 * MOMENT {
        let users = users()?;
        let mut left = first.iter().filter(|pid| users.contains(pid)).peekable();
        if left.peek().is_none() {
            break;
        }
        if begun.elapsed() > MOMENT {
            for process in left.flat_map(|pid| flock_holders::open(*pid, &held)) {
                let _ = pidfd::send_signal(&process, SIGKILL);
            }
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Ends the cgroups of payloads whose process was killed, and forgets those and old ones. The audit
/// gets the end of those whose process could not write it.
fn end_dead_payloads(slot: &Slot) -> Result<()> {
    let now = now();
    let dead: Vec<PayloadRecord> =
        payloads::of(slot).into_iter().filter(|record| !record.is_running).collect();
    for record in &dead {
        if let Some(path) = &record.cgroup {
            let _ = Cgroup::at(path).end();
        }
    }
    let is_over = |record: &&PayloadRecord| record.end.is_none() || record.begun + KEPT < now;
    for record in dead.iter().filter(is_over) {
        let _table = Table::lock()?;
        // Another process may have told it.
        if !payloads::exists(slot, record) {
            continue;
        }
        let leases = slot.leases().into_iter().chain(slot.ending());
        let lease = leases.into_iter().find(|lease| lease.lease == record.lease);
        if let (None, Some(lease)) = (&record.end, lease) {
            let PayloadRecord { payload, command, .. } = record;
            audit::write(&Event::PayloadLost { payload, lease: lease.audited(), command });
        }
        payloads::forget(slot, record);
    }
    Ok(())
}

/// Writes to the audit what killed calls have not told of the leases of an account.
fn tell_all(slot: &Slot) -> Result<()> {
    if slot.leases().iter().any(|record| !record.is_told) {
        let _table = Table::lock()?;
        for record in slot.leases() {
            lease::tell(slot, record)?;
        }
    }
    if !slot.over().is_empty() {
        let _table = Table::lock()?;
        tell_over(slot, "interrupted")?;
    }
    Ok(())
}

/// Writes the ends of an owner's leases to the audit, and forgets them. The table is locked
/// meanwhile.
pub(super) fn tell_over(slot: &Slot, reason: &str) -> Result<()> {
    for record in slot.over() {
        audit::write(&Event::LeaseEnded { lease: record.audited(), reason, is_clean: true });
        slot.forget_over(record.client)?;
    }
    Ok(())
}

/// The leases of an account that are over, unless a process uses them, and why.
fn over(slot: &Slot) -> Result<Vec<(LeaseRecord, &'static str)>> {
    let now = now();
    let (expired, others): (Vec<_>, Vec<_>) =
        slot.leases().into_iter().partition(|record| record.until < now);
    let files: Vec<LeaseRecord> =
        others.into_iter().filter(|record| matches!(record.identity, Identity::File(_))).collect();
    let used =
        |record: &LeaseRecord| -> SystemTime { UNIX_EPOCH + Duration::from_secs(record.used) };
    let credentials: Vec<(&Location, SystemTime)> =
        files.iter().map(|record| (&record.credential, used(record))).collect();
    let gone = gone(&credentials)?;
    let gone: Vec<LeaseRecord> =
        files.into_iter().zip(gone).filter(|(_, gone)| *gone).map(|(record, _)| record).collect();
    let with =
        |records: Vec<LeaseRecord>, reason| records.into_iter().map(move |record| (record, reason));
    Ok(with(expired, "expired").chain(with(gone, "credential_gone")).collect())
}

/// Ends a lease, unless a process uses the account, or the lease was used meanwhile. Whether it has
/// ended.
fn end(slot: &Slot, record: &LeaseRecord, reason: &str) -> Result<bool> {
    let table = Table::lock()?;
    if slot.lease_of(record.client).as_ref() != Some(record) {
        return Ok(false);
    }
    let record = &lease::tell(slot, record.clone())?;
    let held = slot.open_use()?;
    match record.holding {
        Holding::Owned => {
            // Other clients may use the account.
            let uses = payloads::of(slot);
            if uses.iter().any(|payload| payload.is_running && payload.lease == record.lease) {
                return Ok(false);
            }
            tell_over(slot, "interrupted")?;
            slot.mark_over(record.client)?;
            tell_over(slot, reason)?;
        }
        Holding::Guest => {
            if flock::lock(&held, Lock::Exclusive, Duration::ZERO).is_err() {
                return Ok(false);
            }
            slot.mark_ending()?;
            drop(table);
            finish(slot, &held, Some(record), reason)?;
        }
    }
    Ok(true)
}

/// Cleans a guest account that has no lease and was not used since the start of the machine: leases
/// of before it are not known, and what they have left on disk is still there.
pub(super) fn clean_unused(slot: &Slot) -> Result<()> {
    let table = Table::lock()?;
    if slot.is_used() || !slot.is_free() {
        return Ok(());
    }
    // Before the account counts as used: a kill between the two loses nothing.
    slot.mark_unclean()?;
    drop(table);
    finish_interrupted(slot)
}

/// Cleans an account whose cleaning was interrupted, or has failed before.
fn finish_interrupted(slot: &Slot) -> Result<()> {
    let table = Table::lock()?;
    // Another process may have done it, and the account may have its next lease.
    if !slot.is_ending() && slot.quarantine().is_none() {
        return Ok(());
    }
    let held = slot.open_use()?;
    if flock::lock(&held, Lock::Exclusive, Duration::ZERO).is_err() {
        return Ok(());
    }
    let record = slot.ending();
    drop(table);
    finish(slot, &held, record.as_ref(), "interrupted")
}

/// Cleans a guest account, which this process has locked: afterwards it is free, or in quarantine.
/// After an error it is neither, and the next look for leases that are over tries again.
fn finish(slot: &Slot, held: &File, record: Option<&LeaseRecord>, reason: &str) -> Result<()> {
    let account = accounts::named(slot.account())?;
    let cleaned = clean_deleted(slot, account.as_ref(), record).and_then(|()| match &account {
        Some(account) if account.user.is_root() => Err(Unclean::Left("it is root's".to_owned())),
        Some(account) => clean(slot, account),
        None => Ok(()),
    });
    let cleaned = match cleaned {
        Err(Unclean::Untried(why)) => {
            return Err(Refusal::internal(format!(
                "the account {} is not clean yet: {why}: try again later",
                Shown(slot.account())
            )));
        }
        Err(Unclean::Left(why)) => Err(why),
        Ok(()) => Ok(()),
    };
    let uid = account.map(|account| account.user).or(record.map(|record| record.uid));
    let uid = uid.unwrap_or(Uid::from_raw(u32::MAX));
    // The account that was used last is leased last.
    let _ = held.set_modified(SystemTime::now());
    // Before the account is free: a process that is killed then leaves it to another one, which
    // tells it again.
    if let Some(record) = record {
        let is_clean = cleaned.is_ok();
        audit::write(&Event::LeaseEnded { lease: record.audited(), reason, is_clean });
    }
    match &cleaned {
        Ok(()) => {
            let was_quarantined = slot.quarantine().is_some();
            slot.mark_clean()?;
            if was_quarantined {
                audit::write(&Event::Freed { account: slot.account(), uid });
            }
        }
        Err(why) => {
            slot.set_quarantine(why)?;
            audit::write(&Event::Quarantined { account: slot.account(), uid, why });
        }
    }
    Ok(())
}

/// Cleans what belongs to the user id of a lease, if the account has been deleted since the begin
/// of the lease, or has another id now: its processes go on without it. If another account has the
/// id, what is that account's cannot be told from what the guest has left: that is an error.
fn clean_deleted(
    slot: &Slot,
    account: Option<&accounts::Account>,
    record: Option<&LeaseRecord>,
) -> Result<(), Unclean> {
    let is_other = |record: &&LeaseRecord| account.map(|account| account.user) != Some(record.uid);
    let Some(user) = record.filter(is_other).map(|record| record.uid) else { return Ok(()) };
    match accounts::of(user) {
        Ok(None) if !user.is_root() => clean(
            slot,
            &accounts::Account {
                name: slot.account().to_vec(),
                user,
                group: NO_GROUP,
                home: "/".into(),
                shell: "/bin/sh".into(),
                is_local: true,
            },
        ),
        Ok(_) => Err(Unclean::Left(format!(
            "its user id in the lease, {user}, is another account's now"
        ))),
        Err(refusal) => Err(Unclean::Untried(refusal.text)),
    }
}

/// Ends all processes of a guest account, and removes what they have left. The error says what is
/// left.
fn clean(slot: &Slot, account: &accounts::Account) -> Result<(), Unclean> {
    for record in payloads::of(slot) {
        if let Some(path) = &record.cgroup {
            _ = Cgroup::at(path).end();
        }
    }
    match processes::kill_all(account.user, account.group) {
        Ok(true) => {}
        Ok(false) => {
            return Err(Unclean::Left(format!("processes of uid {} do not end", account.user)));
        }
        Err(refusal) => return Err(Unclean::Untried(refusal.text)),
    }
    leftovers::remove(account)?;
    payloads::forget_all(slot);
    Ok(())
}
