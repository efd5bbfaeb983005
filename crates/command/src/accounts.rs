//! Accounts: from /etc/passwd, or else from the sources of the name service (nsswitch.conf(5)),
//! which getent(1) asks.
//!
//! The C library's own look-up loads shared libraries, which a statically linked program can't do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use sys::{Gid, Uid};

use crate::query;
use crate::refusal::Result;

/// The table of local accounts (passwd(5)).
const TABLE: &str = "/etc/passwd";

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: Vec<u8>,
    /// Its user id.
    pub user: Uid,
    /// Its primary group.
    pub group: Gid,
    /// Its home directory; `/` if the table has none.
    pub home: PathBuf,
    /// Its shell; /bin/sh if the table has none.
    pub shell: PathBuf,
    /// Whether /etc/passwd has it; else the name service does.
    pub is_local: bool,
}

/// Finds an account by its name; none if there is no such account.
pub fn named(name: &[u8]) -> Result<Option<Account>> {
    find(OsStr::from_bytes(name), |account| account.name == name)
}

/// Finds the account of a user id; of several, the first.
pub fn of(user: Uid) -> Result<Option<Account>> {
    find(user.to_string().as_ref(), |account| account.user == user)
}

/// The account of /etc/passwd with this name; no program is asked.
pub fn local(name: &[u8]) -> Option<Account> {
    in_table(|account| account.name == name)
}

/// The account of /etc/passwd with this user id; no program is asked.
pub fn local_of(user: Uid) -> Option<Account> {
    in_table(|account| account.user == user)
}

/// All accounts of /etc/passwd, in its order.
pub fn all_local() -> Vec<Account> {
    accounts(&std::fs::read(TABLE).unwrap_or_default()).collect()
}

/// The first account that matches. The answer of getent(1) is checked too: it takes a name of
/// digits for a user id.
fn find(key: &OsStr, matches: impl Fn(&Account) -> bool) -> Result<Option<Account>> {
    if let Some(account) = in_table(&matches) {
        return Ok(Some(account));
    }
    let answer = query::getent("passwd", key)?;
    let found = accounts(&answer).find(matches);
    Ok(found.map(|account| Account { is_local: false, ..account }))
}

fn in_table(matches: impl Fn(&Account) -> bool) -> Option<Account> {
    accounts(&std::fs::read(TABLE).unwrap_or_default()).find(matches)
}

fn accounts(table: &[u8]) -> impl Iterator<Item = Account> {
    table.split(|byte| *byte == b'\n').filter_map(parse_line)
}

/// A line `name:password:uid:gid:comment:home:shell`. The ids -1 mean "no change" to the kernel.
fn parse_line(line: &[u8]) -> Option<Account> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let number = |at: usize| -> Option<u32> {
        let number = std::str::from_utf8(fields.get(at)?).ok()?.parse().ok()?;
        (number != u32::MAX).then_some(number)
    };
    let path = |at: usize, default: &'static [u8]| {
        let path = fields.get(at).copied().filter(|path| !path.is_empty()).unwrap_or(default);
        PathBuf::from(OsStr::from_bytes(path))
    };
    let name = fields.first().filter(|name| !name.is_empty())?.to_vec();
    let (user, group) = (Uid::from_raw(number(2)?), Gid::from_raw(number(3)?));
    let (home, shell) = (path(5, b"/"), path(6, b"/bin/sh"));
    Some(Account { name, user, group, home, shell, is_local: true })
}

#[cfg(test)]
mod tests {
    use super::{Account, Gid, Uid, parse_line};

    #[test]
    fn a_line_has_a_name_ids_a_home_and_a_shell() {
        let account = |name: &str, id, home: &str, shell: &str| {
            Some(Account {
                name: name.into(),
                user: Uid::from_raw(id),
                group: Gid::from_raw(id + 1),
                home: home.into(),
                shell: shell.into(),
                is_local: true,
            })
        };
        let job = account("job", 998, "/nonexistent", "/usr/sbin/nologin");
        assert_eq!(parse_line(b"job:x:998:999:,,,:/nonexistent:/usr/sbin/nologin"), job);
        let short = account("domain\\job", 70000, "/", "/bin/sh");
        assert_eq!(parse_line(b"domain\\job:*:70000:70001"), short);
        assert_eq!(parse_line(b"domain\\job:*:70000:70001:::"), short);
        for line in [&b""[..], b"job", b"job:x", b"job:x:", b"+::::::", b":x:5:5", b"job:x:-1:5"] {
            assert_eq!(parse_line(line), None, "{line:?}");
        }
        for line in [&b"job:x:5"[..], b"job:x:4294967295:5", b"job:x:5:4294967295", b"job:x:5:x"] {
            assert_eq!(parse_line(line), None, "{line:?}");
        }
    }
}
