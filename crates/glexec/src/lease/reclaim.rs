//! Ends leases that are over, and tells which ids stay leased.

use std::collections::HashSet;
use std::time::Duration;

use command::refusal::Result;
use sys::Uid;
use sys::flock::{self, Lock};

use super::table::{Entry, Table};
use super::{IDLE, processes};
use crate::ranges::Ranges;

/// Ends the leases of a table whose credential is gone, except those that `keep` selects. Returns
/// the entries that stay.
pub(crate) fn reclaim(
    table: &Table,
    ranges: &Ranges,
    keep: impl Fn(&Entry) -> bool,
) -> Result<Vec<Entry>> {
    let is_over = |entry: &Entry| {
        entry.credential.as_ref().is_some_and(|credential| credential.is_gone(entry.last_use))
    };
    let mut left = Vec::new();
    for entry in table.read_entries()? {
        if keep(&entry) || !is_over(&entry) || !end(table, ranges, entry.user)? {
            left.push(entry);
        }
    }
    Ok(left)
}

/// Ends the lease of a user id, unless a call uses it or one of its processes does not end. Whether
/// it has ended.
fn end(table: &Table, ranges: &Ranges, user: Uid) -> Result<bool> {
    let calls = table.open_calls_file(user)?;
    let is_idle = flock::lock(&calls, Lock::Exclusive, Duration::ZERO).is_ok();
    let has_none = calls.metadata().is_ok_and(|found| found.len() == IDLE);
    // The caller cannot end the processes of an id that is no longer its subordinate id.
    let is_over = || has_none || ranges.ids_of(user).is_none_or(processes::kill_all);
    if !is_idle || !is_over() {
        return Ok(false);
    }
    table.release(user)?;
    Ok(true)
}

/// The ids that are leased, in the default table or in any other.
pub(crate) fn leased_ids(default: &Table, ranges: &Ranges) -> Result<HashSet<Uid>> {
    let entries = reclaim(default, ranges, |_| false)?;
    Ok(claimed_ids(default, ranges)?.into_iter().chain(users_of(&entries)).collect())
}

/// The ids that are leased in other tables than the default one. Leases there that are over are
/// ended: no call may ever use those tables again.
pub(crate) fn claimed_ids(default: &Table, ranges: &Ranges) -> Result<HashSet<Uid>> {
    let mut claimed = HashSet::new();
    for claim in default.read_claims()? {
        let user = claim.user;
        let Some(entry) = claim.entry.filter(|entry| !entry.is_gone(claim.last_use)) else {
            default.release(user)?;
            continue;
        };
        // A locked table is in use, or this call's own; its claims stay until a later call.
        let table =
            entry.path.parent().and_then(|directory| Table::lock(directory, Duration::ZERO).ok());
        let left = table.and_then(|table| reclaim(&table, ranges, |entry| entry.user != user).ok());
        if left.is_some_and(|left| left.iter().all(|entry| entry.user != user)) {
            default.release(user)?;
        } else {
            claimed.insert(user);
        }
    }
    Ok(claimed)
}

/// The ids of entries that name a credential.
pub(crate) fn users_of(entries: &[Entry]) -> impl Iterator<Item = Uid> {
    entries.iter().filter(|entry| entry.credential.is_some()).map(|entry| entry.user)
}
