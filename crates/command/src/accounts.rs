//! The names and user ids of accounts: from /etc/passwd, or else from the sources of the name
//! service (nsswitch.conf(5)), which getent(1) asks.
//!
//! The C library's own look-up loads shared libraries, which a statically linked program can't do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use error::Shown;
use sys::Uid;

use crate::refusal::{Refusal, Result};
use crate::{executable, query};

/// The table of local accounts (passwd(5)).
const TABLE: &str = "/etc/passwd";

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: Vec<u8>,
    /// Its user id.
    pub user: Uid,
}

/// Finds an account by its name; none if there is no such account.
pub fn named(name: &[u8]) -> Result<Option<Account>> {
    find(OsStr::from_bytes(name), |account| account.name == name)
}

/// Finds the account of a user id; of several, the first.
pub fn of(user: Uid) -> Result<Option<Account>> {
    find(user.to_string().as_ref(), |account| account.user == user)
}

/// The first account that matches. The answer of getent(1) is checked too: it takes a name of
/// digits for a user id.
fn find(key: &OsStr, matches: impl Fn(&Account) -> bool) -> Result<Option<Account>> {
    let first =
        |table: &[u8]| table.split(|byte| *byte == b'\n').filter_map(parse_line).find(&matches);
    match first(&std::fs::read(TABLE).unwrap_or_default()) {
        Some(account) => Ok(Some(account)),
        None => Ok(first(&ask_name_service(key)?)),
    }
}

/// A line `name:password:number:…`.
fn parse_line(line: &[u8]) -> Option<Account> {
    let mut fields = line.split(|byte| *byte == b':');
    let (name, _password, user) = (fields.next()?, fields.next()?, fields.next()?);
    let user = std::str::from_utf8(user).ok()?.parse().ok().map(Uid::from_raw)?;
    (!name.is_empty()).then(|| Account { name: name.to_vec(), user })
}

/// What getent(1) prints for a name or number; nothing if no source knows it.
fn ask_name_service(key: &OsStr) -> Result<Vec<u8>> {
    let answer = executable::of_system("getent")
        .and_then(|getent| query::ask(&getent, &["passwd".as_ref(), key]));
    answer.map_err(|why| {
        Refusal::internal(format!("cannot look up the account {}: {why}", Shown::os(key)))
    })
}

#[cfg(test)]
mod tests {
    use super::{Account, Uid, parse_line};

    #[test]
    fn a_line_has_a_name_and_a_number() {
        let account =
            |name: &str, user| Some(Account { name: name.into(), user: Uid::from_raw(user) });
        assert_eq!(
            parse_line(b"job:x:998:998:,,,:/nonexistent:/usr/sbin/nologin"),
            account("job", 998)
        );
        assert_eq!(parse_line(b"domain\\job:*:70000:70000"), account("domain\\job", 70000));
        for line in [&b""[..], b"job", b"job:x", b"job:x:", b"+::::::", b":x:5:5", b"job:x:-1:5"] {
            assert_eq!(parse_line(line), None, "{line:?}");
        }
    }
}
