//! Whom a payload runs as: the account of the credential, with the groups that it has here.

use command::accounts::Account;
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::Gid;
use sys::switch::Identity;

use crate::config::Config;
use crate::mapping::TargetAccount;

/// The account that a payload runs as, and its rights.
#[derive(Clone, Debug)]
pub struct Target {
    /// The account.
    pub account: Account,
    /// Its ids, with the groups that it has here.
    pub identity: Identity,
}

/// Makes an account the target of a call. [`crate::mapping`] has checked the account alone; here it
/// is refused if it is the caller's own, which would be no change of user. That it is not root, and
/// has none of root's groups, is checked again: all depends on it.
///
/// Its groups are those of the account database, and those of the caller's groups that a batch
/// system has added to follow the job (`tracking_groups`).
pub fn of(found: TargetAccount, caller: &Identity, config: &Config) -> Result<Target> {
    let TargetAccount { account, mut groups } = found;
    let refused = |why: &str| {
        let name = Shown(&account.name);
        Err(Refusal::not_authorized(format!("the account {name} cannot run payloads: {why}")))
    };
    if account.user == caller.user {
        return refused("it is the account of the caller");
    }
    groups.extend(caller.groups.iter().filter(|group| config.tracking_groups.contains(**group)));
    let is_roots = |group: &Gid| group.as_raw() == 0;
    if account.user.is_root() || is_roots(&account.group) || groups.iter().any(is_roots) {
        return refused("it is root, or has a group of root's");
    }
    let identity = Identity { user: account.user, group: account.group, groups };
    Ok(Target { account, identity })
}
