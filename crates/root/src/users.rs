//! Lists of users in the configuration: who may call, and who may use a proxy without its key.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use command::accounts::Account;
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::Uid;

use crate::names::{is_account_name, is_of_pool};

/// A list of users, as `user_white_list` has it. Root is in the list only if an entry names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserList(Vec<UserEntry>);

/// An entry of a list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserEntry {
    /// The account with this name.
    Name(OsString),
    /// `.prefix`: the accounts of a pool, whose names are the prefix and digits.
    Pool(OsString),
    /// The account with this user id.
    Uid(Uid),
}

impl UserList {
    /// Reads a list: names, `.prefix` for the accounts of a pool, and user ids, separated by
    /// commas; blanks around an entry do not count. The error says what is wrong.
    pub(crate) fn parse(text: &[u8]) -> Result<UserList, String> {
        if text.trim_ascii().is_empty() {
            return Ok(UserList::default());
        }
        let entries = text.split(|byte| *byte == b',').map(|word| entry(word.trim_ascii()));
        entries.collect::<Result<_, _>>().map(UserList)
    }

    /// The list of these entries.
    pub(crate) fn of(entries: Vec<UserEntry>) -> UserList {
        UserList(entries)
    }

    /// Whether no user is in the list.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an account is in the list.
    pub fn contains(&self, account: &Account) -> bool {
        self.0.iter().any(|entry| match entry {
            UserEntry::Name(name) => name.as_bytes() == account.name,
            UserEntry::Pool(prefix) => is_of_pool(&account.name, prefix.as_bytes()),
            UserEntry::Uid(user) => *user == account.user,
        })
    }

    /// Refuses a caller that `user_white_list` does not have; root, too.
    pub fn require_caller(&self, caller: &Account) -> Result<()> {
        if self.contains(caller) {
            return Ok(());
        }
        Err(Refusal::not_authorized(format!(
            "{} (uid {}) may not call glexec here: the administrator can add it to user_white_list",
            Shown(&caller.name),
            caller.user
        )))
    }
}

/// An entry: a name, `.prefix` or a user id. The error says what is wrong.
pub(crate) fn entry(word: &[u8]) -> Result<UserEntry, String> {
    if word.iter().all(u8::is_ascii_digit) && !word.is_empty() {
        let user = std::str::from_utf8(word).ok().and_then(|digits| digits.parse().ok());
        let user = user.filter(|user| *user != u32::MAX);
        return user
            .map(|user| UserEntry::Uid(Uid::from_raw(user)))
            .ok_or_else(|| format!("{} is no user id", Shown(word)));
    }
    let (prefix, name) = match word.strip_prefix(b".") {
        Some(prefix) => (true, prefix),
        None => (false, word),
    };
    if !is_account_name(name) {
        return Err(format!("\"{}\" is not the name of an account", Shown(word)));
    }
    let name = OsStr::from_bytes(name).to_owned();
    Ok(if prefix { UserEntry::Pool(name) } else { UserEntry::Name(name) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::UserList;
    use crate::test_account::account;

    fn contains(list: &str, name: &str, user: u32) -> bool {
        UserList::parse(list.as_bytes()).unwrap().contains(&account(name, user))
    }

    #[test]
    fn names_pools_and_user_ids_are_listed() {
        let list = " batman, superman,.woman , 4711";
        for (name, user) in [("batman", 1), ("superman", 2), ("woman01", 3), ("any", 4711)] {
            assert!(contains(list, name, user), "{name}");
        }
        for (name, user) in
            [("bat", 1), ("batman2", 1), ("woman", 1), ("woman1x", 1), ("woma", 1), ("4711", 5)]
        {
            assert!(!contains(list, name, user), "{name}");
        }
    }

    #[test]
    fn root_is_listed_only_by_its_name_or_its_user_id() {
        assert!(!contains("batman", "root", 0) && !contains("", "root", 0));
        assert!(contains("root", "root", 0) && contains("0", "root", 0));
        let refusal = UserList::default().require_caller(&account("root", 0)).unwrap_err();
        assert_eq!(refusal.status, command::Status::NotAuthorized);
    }

    #[test]
    fn what_is_no_user_is_refused() {
        for list in ["a,,b", ",", "a b", ".", "a/b", "-a", "a:b", "4294967295", "99999999999", "a#"]
        {
            assert!(UserList::parse(list.as_bytes()).is_err(), "{list}");
        }
        for list in [&b"a\0"[..], b"a\nb", b"..", b".a.\x1b"] {
            assert!(UserList::parse(list).is_err(), "{list:?}");
        }
        assert_eq!(UserList::parse(b" "), Ok(UserList::default()));
    }
}
