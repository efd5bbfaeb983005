//! The accounts of the list as this machine has them now.
//!
//! That an account exists and may be a target is not a matter of the list: it changes without it.
//! So an account that cannot be used does not make the list a bad one.

use std::collections::HashMap;

use command::accounts::{self, Account};
use command::groups::{self, Members};
use command::query;
use command::refusal::Result;
use error::Shown;
use sys::Uid;

use super::list::Entry;
use crate::config::Config;
use crate::mapping::{TargetAccount, may_be_target};

/// An account of the list.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Its line.
    pub entry: Entry,
    /// The account; or why it cannot be used.
    pub target: std::result::Result<TargetAccount, String>,
}

/// Finds the accounts of a list in /etc/passwd, which is read once, and others by the name service.
/// Only one that may be a target can be used: not root, not with a group of root's, with ids from
/// min_uid and min_gid on. Of several with one user id only the first can.
///
/// The error says that the name service does not answer.
pub fn resolve(list: &[Entry], config: &Config) -> Result<Vec<Resolved>> {
    let accounts = accounts::all_local();
    let by_name: HashMap<&[u8], &Account> =
        accounts.iter().rev().map(|account| (&account.name[..], account)).collect();
    let members = Members::local();
    let nobody = query::nobody_of(by_name.get(&b"nobody"[..]).copied()).0;
    let mut by_user: HashMap<Uid, &[u8]> = HashMap::new();
    let mut resolved = Vec::with_capacity(list.len());
    for entry in list {
        let mut target = match by_name.get(&entry.account[..]) {
            Some(account) => target(account, &members, config, nobody),
            None => other(&entry.account, config, nobody)?,
        };
        if let Ok(found) = &target {
            let first = by_user.entry(found.account.user).or_insert(&entry.account);
            if *first != entry.account {
                let (uid, first) = (found.account.user, Shown(first));
                target = Err(format!("its uid {uid} is also that of {first}, which is listed"));
            }
        }
        resolved.push(Resolved { entry: entry.clone(), target });
    }
    Ok(resolved)
}

fn target(
    account: &Account,
    members: &Members,
    config: &Config,
    nobody: Uid,
) -> std::result::Result<TargetAccount, String> {
    let groups = members.groups_of(account);
    may_be_target(account, &groups, config, nobody)?;
    Ok(TargetAccount { account: account.clone(), groups })
}

/// An account that /etc/passwd does not have.
fn other(
    name: &[u8],
    config: &Config,
    nobody: Uid,
) -> Result<std::result::Result<TargetAccount, String>> {
    let Some(account) = accounts::named(name)? else {
        return Ok(Err("there is no such account".to_owned()));
    };
    let groups = groups::supplementary(&account)?;
    Ok(may_be_target(&account, &groups, config, nobody).map(|()| TargetAccount { account, groups }))
}
