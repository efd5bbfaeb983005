//! Groups: from /etc/group, or else from the name service, as accounts are found.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use error::Shown;
use sys::Gid;

use crate::accounts::Account;
use crate::query;
use crate::refusal::{Refusal, Result};

/// The table of local groups (group(5)).
const TABLE: &str = "/etc/group";

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: Vec<u8>,
    /// Its group id.
    pub id: Gid,
    /// The names of the accounts that the table lists. An account whose primary group this is need
    /// not be among them.
    pub members: Vec<Vec<u8>>,
}

/// Finds a group by its name; none if there is no such group.
pub fn named(name: &[u8]) -> Result<Option<Group>> {
    find(OsStr::from_bytes(name), |group| group.name == name)
}

/// Finds the group of a group id; of several, the first.
pub fn of(id: Gid) -> Result<Option<Group>> {
    find(id.to_string().as_ref(), |group| group.id == id)
}

/// The supplementary groups of an account, in ascending order, without its primary group. For an
/// account of /etc/passwd they are those of /etc/group; for another account the name service is
/// asked.
pub fn supplementary(account: &Account) -> Result<Vec<Gid>> {
    if account.is_local {
        return Ok(Members::local().groups_of(account));
    }
    from_name_service(account).map(|ids| sorted(ids, account))
}

/// Which groups have which members.
#[derive(Debug)]
pub struct Members(HashMap<Vec<u8>, Vec<Gid>>);

impl Members {
    /// Those of /etc/group.
    pub fn local() -> Members {
        Members::of(groups(&table()))
    }

    fn of(groups: impl Iterator<Item = Group>) -> Members {
        let mut members: HashMap<Vec<u8>, Vec<Gid>> = HashMap::new();
        for Group { id, members: names, .. } in groups {
            names.into_iter().for_each(|name| members.entry(name).or_default().push(id));
        }
        Members(members)
    }

    /// The groups of a member, as [`supplementary`] returns them.
    pub fn groups_of(&self, account: &Account) -> Vec<Gid> {
        sorted(self.0.get(&account.name).cloned().unwrap_or_default(), account)
    }
}

fn sorted(mut ids: Vec<Gid>, account: &Account) -> Vec<Gid> {
    ids.retain(|id| *id != account.group);
    ids.sort_by_key(|id| id.as_raw());
    ids.dedup();
    ids
}

fn from_name_service(account: &Account) -> Result<Vec<Gid>> {
    let answer = query::getent("initgroups", OsStr::from_bytes(&account.name))?;
    parse_initgroups(&answer, &account.name).ok_or_else(|| {
        let name = Shown(&account.name);
        Refusal::internal(format!("the name service does not say which groups {name} has"))
    })
}

/// A line `name gid gid…`, as getent(1) prints it; the list of ids may be empty.
fn parse_initgroups(answer: &[u8], account: &[u8]) -> Option<Vec<Gid>> {
    let rest = answer.strip_suffix(b"\n").unwrap_or(answer).strip_prefix(account)?;
    if rest.contains(&b'\n') || rest.first().is_some_and(|byte| *byte != b' ') {
        return None;
    }
    rest.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).map(parse_id).collect()
}

fn find(key: &OsStr, matches: impl Fn(&Group) -> bool) -> Result<Option<Group>> {
    match groups(&table()).find(&matches) {
        Some(group) => Ok(Some(group)),
        None => Ok(groups(&query::getent("group", key)?).find(matches)),
    }
}

fn table() -> Vec<u8> {
    std::fs::read(TABLE).unwrap_or_default()
}

fn groups(table: &[u8]) -> impl Iterator<Item = Group> {
    table.split(|byte| *byte == b'\n').filter_map(parse_line)
}

/// A line `name:password:gid:member,member…`.
fn parse_line(line: &[u8]) -> Option<Group> {
    let mut fields = line.split(|byte| *byte == b':');
    let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
    let members = fields.next().unwrap_or_default().split(|byte| *byte == b',');
    let members = members.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
    (!name.is_empty()).then_some(Group { name: name.to_vec(), id: parse_id(id)?, members })
}

/// A group id; -1 means "no change" to the kernel.
fn parse_id(digits: &[u8]) -> Option<Gid> {
    let id: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (id != u32::MAX).then_some(Gid::from_raw(id))
}

#[cfg(test)]
mod tests {
    use super::{Gid, Group, parse_initgroups, parse_line};

    #[test]
    fn a_line_has_a_name_an_id_and_members() {
        let group = |members: &[&str]| {
            let members = members.iter().map(|name| name.as_bytes().to_vec()).collect();
            Some(Group { name: b"sw".to_vec(), id: Gid::from_raw(7), members })
        };
        assert_eq!(parse_line(b"sw:x:7:a,b"), group(&["a", "b"]));
        assert_eq!(parse_line(b"sw:x:7:"), group(&[]));
        assert_eq!(parse_line(b"sw:x:7"), group(&[]));
        for line in [&b""[..], b"sw", b"sw:x", b"sw:x:", b"+:::", b":x:7:", b"sw:x:4294967295:"] {
            assert_eq!(parse_line(line), None, "{line:?}");
        }
    }

    #[test]
    fn the_answer_of_the_name_service_is_one_line_about_this_account() {
        let ids = |ids: &[u32]| Some(ids.iter().copied().map(Gid::from_raw).collect::<Vec<_>>());
        assert_eq!(parse_initgroups(b"pool1                 7 8\n", b"pool1"), ids(&[7, 8]));
        assert_eq!(parse_initgroups(b"pool1\n", b"pool1"), ids(&[]));
        for answer in [&b""[..], b"pool12 7\n", b"pool1 7\npool1 8\n", b"pool1 7 x\n", b"pool1:7"] {
            assert_eq!(parse_initgroups(answer, b"pool1"), None, "{answer:?}");
        }
    }
}
