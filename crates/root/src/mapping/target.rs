//! What a map names as the target of a credential, and which accounts can be a target.

use command::accounts::{self, Account};
use command::refusal::{Refusal, Result};
use command::{groups, query};
use error::Shown;
use sys::{Gid, Uid};

use crate::config::Config;
use crate::names::is_account_name;

/// The target that a map names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The account with this name.
    Account(Vec<u8>),
    /// `.prefix`: an account of the pool, leased to the credential.
    Pool(Vec<u8>),
}

impl Target {
    /// Reads a word of a map; none if it is neither a name nor a prefix.
    pub(crate) fn parse(word: &[u8]) -> Option<Target> {
        let target = match word.strip_prefix(b".") {
            Some(prefix) => Target::Pool(prefix.to_vec()),
            None => Target::Account(word.to_vec()),
        };
        let (Target::Account(name) | Target::Pool(name)) = &target;
        is_account_name(name).then_some(target)
    }
}

/// An account that may be a target, with all its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetAccount {
    /// The account.
    pub account: Account,
    /// Its supplementary groups.
    pub groups: Vec<Gid>,
}

/// The account of this name, if it exists and may be a target. No target is root, the user that
/// asks the name service, or has an id below the limits of the configuration. The inner error says
/// why it may not be one.
pub(crate) fn find(name: &[u8], config: &Config) -> Result<Result<TargetAccount, String>> {
    let Some(account) = accounts::named(name)? else {
        return Ok(Err("there is no such account".to_owned()));
    };
    let groups = groups::supplementary(&account)?;
    let nobody = query::nobody().0;
    Ok(may_be_target(&account, &groups, config, nobody).map(|()| TargetAccount { account, groups }))
}

/// As [`find`], for an account that a map names: what is wrong is a refusal.
pub(crate) fn require(name: &[u8], config: &Config) -> Result<TargetAccount> {
    find(name, config)?.map_err(|why| {
        Refusal::not_authorized(format!(
            "the credential maps to the account {}, which cannot be used: {why}",
            Shown(name)
        ))
    })
}

/// Whether an account with these supplementary groups may be a target; the error says why not.
/// `nobody` is the user that asks the name service ([`query::nobody`]).
pub(crate) fn may_be_target(
    account: &Account,
    groups: &[Gid],
    config: &Config,
    nobody: Uid,
) -> Result<(), String> {
    let (user, group) = (account.user, account.group);
    if user.is_root() {
        return Err("it is root".to_owned());
    }
    if user == nobody {
        return Err(format!("uid {user} is that of nobody, as whom glexec asks the name service"));
    }
    if user.as_raw() < config.min_uid {
        return Err(format!("its uid {user} is below min_uid ({})", config.min_uid));
    }
    match [group].iter().chain(groups).find(|group| group.as_raw() < config.min_gid) {
        None => Ok(()),
        Some(group) => Err(format!("its group {group} is below min_gid ({})", config.min_gid)),
    }
}

#[cfg(test)]
mod tests {
    use sys::{Gid, Uid};

    use super::{Target, may_be_target};
    use crate::config::Config;
    use crate::test_account::account;

    const NOBODY: Uid = Uid::from_raw(65534);

    #[test]
    fn a_target_is_a_name_or_the_prefix_of_a_pool() {
        assert_eq!(Target::parse(b"alice"), Some(Target::Account(b"alice".to_vec())));
        assert_eq!(Target::parse(b".atlas"), Some(Target::Pool(b"atlas".to_vec())));
        for word in ["", ".", "..", "..a", "a/b", ".a/b", "-a", "0", "a b", ".%2f", "a:b"] {
            assert_eq!(Target::parse(word.as_bytes()), None, "{word}");
        }
    }

    #[test]
    fn no_target_is_root_or_nobody_or_below_the_limits() {
        let config = Config { min_uid: 500, min_gid: 100, ..Config::default() };
        let groups = |ids: &[u32]| ids.iter().copied().map(Gid::from_raw).collect::<Vec<_>>();
        assert_eq!(may_be_target(&account("a", 500), &groups(&[100]), &config, NOBODY), Ok(()));
        for (id, others) in [(0, &[][..]), (499, &[]), (65534, &[]), (500, &[99]), (500, &[500, 0])]
        {
            let checked = may_be_target(&account("a", id), &groups(others), &config, NOBODY);
            assert!(checked.is_err(), "{id}, {others:?}");
        }
        let primary = command::accounts::Account { group: Gid::from_raw(6), ..account("a", 500) };
        assert!(may_be_target(&primary, &[], &config, NOBODY).is_err());
    }
}
