//! A lease of an administrator's: a guest account that is taken out of the pool for a time.

use std::time::Duration;

use command::location::Location;
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::Uid;
use sys::flock::{self, Lock};

use super::audit::Holding;
use super::list::AccountList;
use super::record::{Identity, LeaseRecord};
use super::table::{Slot, Table, now};
use super::{lease, new_id};
use crate::config::Config;
use crate::mapping::target;

/// Leases a free guest account to root until a time, in seconds since 1970, so that no client gets
/// it. It ends as any other lease does: then, or by a release.
pub fn reserve(account: &[u8], until: u64, config: &Config) -> Result<LeaseRecord> {
    let shown = Shown(account);
    let list = AccountList::read()?;
    match list.entries().iter().find(|entry| entry.account == account) {
        None => {
            let path = AccountList::PATH;
            return Err(Refusal::client(format!("{shown} is not in {path}")));
        }
        Some(entry) if entry.owner.is_some() => {
            return Err(Refusal::client(format!("{shown} has an owner: it is no guest account")));
        }
        Some(_) => {}
    }
    let found = target::require(account, config)?;
    let slot = Slot::of(account)?;
    let _table = Table::lock()?;
    let held = slot.open_use()?;
    let is_unused = flock::lock(&held, Lock::Exclusive, Duration::ZERO).is_ok();
    if !slot.is_free() || !is_unused {
        return Err(Refusal::client(format!("{shown} is not free: see glexec_accounts list")));
    }
    let begun = now();
    let record = LeaseRecord {
        lease: new_id(),
        is_told: false,
        account: account.to_vec(),
        uid: found.account.user,
        holding: Holding::Guest,
        client: Uid::from_raw(0),
        client_name: b"root".to_vec(),
        identity: Identity::Caller(b"root".to_vec()),
        credential: Location { path: "-".into(), place: b"-".to_vec() },
        begun,
        until,
        used: begun,
    };
    slot.write(&record)?;
    lease::tell(&slot, record)
}
