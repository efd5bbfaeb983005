//! How many ids can be leased now. It only reads: no lease is made or ended, and no lock is taken.

use std::collections::HashSet;

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::Uid;

use super::{default_place, processes, table};
use crate::ranges::Ranges;

/// How many subordinate ids of a user can be leased now: those that no lease has, in the default
/// table or in any other, and no process. Calls at the same time can change it.
///
/// # Errors
///
/// If the subordinate ids, the leases or the processes cannot be read.
pub fn free_ids(user: Uid) -> Result<u32> {
    let ranges = Ranges::of(user)?;
    let is_own = |id: &Uid| ranges.ids_of(*id).is_some();
    let mut taken: HashSet<Uid> = processes::user_ids_in_use(is_own)?;
    if let Some(directory) = default_place::existing(user)? {
        let leased = table::leased_without_lock(&directory).map_err(|error| {
            Refusal::internal(format!("cannot read {}: {error}", Shown::os(&directory)))
        })?;
        taken.extend(leased.into_iter().filter(is_own));
    }
    let taken = u32::try_from(taken.len()).unwrap_or(u32::MAX);
    Ok(ranges.count().saturating_sub(taken))
}
