//! The account that a payload runs as.

use command::accounts::Account;
use command::groups;
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::Gid;
use sys::switch::Identity;

use crate::config::Config;

/// The account that a payload runs as, and its rights.
#[derive(Clone, Debug)]
pub struct Target {
    /// The account.
    pub account: Account,
    /// Its ids, with the groups that it has here.
    pub identity: Identity,
}

/// Makes an account the target of a call, or refuses it: root never is, nor an account below
/// `min_uid` or `min_gid`, nor the caller's own, which would be no change of user.
///
/// Its groups are those of the account database, and those of the caller's groups that batch
/// systems add to follow a job (`tracking_groups`).
pub fn of(account: Account, caller: &Identity, config: &Config) -> Result<Target> {
    let refused = |why: String| {
        let name = Shown(&account.name);
        Err(Refusal::not_authorized(format!("the account {name} cannot run payloads: {why}")))
    };
    let (user, group) = (account.user, account.group);
    if user.is_root() || group.as_raw() == 0 {
        return refused(format!("it has uid {user} and gid {group}, and 0 is root's"));
    }
    if user.as_raw() < config.min_uid {
        return refused(format!("its uid {user} is below min_uid ({})", config.min_uid));
    }
    if group.as_raw() < config.min_gid {
        return refused(format!("its gid {group} is below min_gid ({})", config.min_gid));
    }
    if user == caller.user {
        return refused("it is the account of the caller".to_owned());
    }
    let groups = groups::supplementary(&account)?;
    if groups.contains(&Gid::from_raw(0)) {
        return refused("it is a member of the group with gid 0, which is root's".to_owned());
    }
    let identity = Identity { user, group, groups };
    Ok(Target { account, identity })
}
