//! The subordinate ids of a user: numbers that an administrator has given it to use in user
//! namespaces (subuid(5), subgid(5)).

use std::ffi::OsStr;

use command::refusal::{Refusal, Result};
use command::{accounts, executable, query};
use sys::{Gid, Uid};

/// Consecutive numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
}

/// The user id and the group id of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    /// The user id.
    pub(crate) user: Uid,
    /// The group id.
    pub(crate) group: Gid,
}

/// The ids that payloads can have: one user id and one group id for each.
#[derive(Debug)]
pub(crate) struct Ranges {
    users: Vec<Range>,
    groups: Vec<Range>,
}

impl Ranges {
    /// The subordinate ids of a user, which has some.
    pub(crate) fn of(user: Uid) -> Result<Ranges> {
        let ranges = Ranges::find(user)?;
        if ranges.count() == 0 {
            let who = name_of(user)?.unwrap_or_else(|| user.to_string());
            let command = command_for_some(&who);
            return Err(Refusal::internal(format!(
                "{who} has no subordinate ids; an administrator can give some: {command}"
            )));
        }
        Ok(ranges)
    }

    /// Finds the subordinate ids of a user: as the service of nsswitch.conf(5) lists them, or else
    /// in /etc/subuid and /etc/subgid.
    fn find(user: Uid) -> Result<Ranges> {
        let name = name_of(user);
        let number = user.to_string();
        let shown = name.as_ref().ok().and_then(Option::as_deref);
        let names: Vec<&str> = shown.into_iter().collect();
        let is_service = is_from_service();
        let of = |file: &str, options: &[&str]| -> Result<Vec<Range>> {
            let listed = match shown {
                Some(name) if is_service => ask_service(options, name)?,
                _ => None,
            };
            let from_file = || {
                let table = std::fs::read_to_string(file).unwrap_or_default();
                table.lines().filter_map(|line| parse_line(line, &names, &number)).collect()
            };
            Ok(without_overlaps(listed.unwrap_or_else(from_file)))
        };
        Ok(Ranges { users: of("/etc/subuid", &[])?, groups: of("/etc/subgid", &["-g"])? })
    }

    /// How many payloads can have separate ids.
    pub(crate) fn count(&self) -> u32 {
        let count = |ranges: &[Range]| {
            ranges.iter().fold(0_u32, |sum, range| sum.saturating_add(range.count))
        };
        count(&self.users).min(count(&self.groups))
    }

    /// The ids at an index below [`Ranges::count`].
    pub(crate) fn at(&self, index: u32) -> Option<Ids> {
        let (user, group) = (nth(&self.users, index)?, nth(&self.groups, index)?);
        Some(Ids { user: Uid::from_raw(user), group: Gid::from_raw(group) })
    }

    /// The ids with this user id, if it is in the ranges.
    pub(crate) fn ids_of(&self, user: Uid) -> Option<Ids> {
        self.at(self.index_of(user)?)
    }

    /// The index of a user id.
    fn index_of(&self, user: Uid) -> Option<u32> {
        let mut before = 0;
        for range in &self.users {
            match user.as_raw().checked_sub(range.first) {
                Some(offset) if offset < range.count => return Some(before + offset),
                _ => before += range.count,
            }
        }
        None
    }
}

/// Whether a user has no subordinate user ids, or no subordinate group ids.
pub fn are_missing(user: Uid) -> bool {
    Ranges::find(user).is_ok_and(|ranges| ranges.count() == 0)
}

/// The command that gives a user ids that no user has, as far as /etc/subuid and /etc/subgid tell.
/// (usermod(8) does not check that.)
pub fn command_for_some(who: &str) -> String {
    const COUNT: u32 = 1000;
    let all = entries("/etc/subuid").into_iter().chain(entries("/etc/subgid"));
    let free = all
        .map(|(_, range)| range.first.saturating_add(range.count))
        .max()
        .unwrap_or(0)
        .max(300_000);
    // Rounded up, to be easy to read.
    let first = free.div_ceil(COUNT).saturating_mul(COUNT).min(u32::MAX - 2 * COUNT);
    let last = first + COUNT - 1;
    format!("usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {who}")
}

/// Another user that has some of this user's subordinate ids too, as far as /etc/subuid and
/// /etc/subgid tell: payloads of both could get the same user id.
pub fn shared_with(user: Uid) -> Option<String> {
    let (name, number) = (name_of(user).ok().flatten(), user.to_string());
    let is_own = |owner: &str| Some(owner) == name.as_deref() || owner == number;
    let overlap = |one: &Range, other: &Range| {
        let last = |range: &Range| range.first.saturating_add(range.count - 1);
        one.first <= last(other) && other.first <= last(one)
    };
    ["/etc/subuid", "/etc/subgid"].into_iter().find_map(|file| {
        let (own, others): (Vec<_>, Vec<_>) =
            entries(file).into_iter().partition(|(owner, _)| is_own(owner));
        let is_shared =
            |(_, range): &(String, Range)| own.iter().any(|(_, own)| overlap(own, range));
        others.into_iter().find(is_shared).map(|(owner, _)| owner)
    })
}

/// All ranges of a file, with their owners.
fn entries(file: &str) -> Vec<(String, Range)> {
    let table = std::fs::read_to_string(file).unwrap_or_default();
    let entry = |line: &str| {
        let owner = line.split(':').next()?;
        parse_line(line, &[owner], owner).map(|range| (owner.to_owned(), range))
    };
    table.lines().filter_map(entry).collect()
}

/// The same numbers, each once: lines can overlap, and no two payloads may share an id. The highest
/// number is no id (it is -1).
fn without_overlaps(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_by_key(|range| range.first);
    let mut free = 0;
    let mut all = Vec::new();
    for range in ranges {
        let (first, end) = (range.first.max(free), range.first.saturating_add(range.count));
        if first < end {
            all.push(Range { first, count: end - first });
            free = end;
        }
    }
    all
}

fn nth(ranges: &[Range], mut index: u32) -> Option<u32> {
    for range in ranges {
        if index < range.count {
            return range.first.checked_add(index);
        }
        index -= range.count;
    }
    None
}

/// A line `owner:first:count`, if its owner is one of these, by name or by number. The id 0 is
/// never a subordinate id.
fn parse_line(line: &str, names: &[&str], number: &str) -> Option<Range> {
    let mut fields = line.trim().split(':');
    let owner = fields.next()?;
    let range = Range { first: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? };
    (fields.next().is_none()
        && (names.contains(&owner) || owner == number)
        && range.first > 0
        && range.count > 0)
        .then_some(range)
}

/// The name of a user; none if it has no account.
fn name_of(user: Uid) -> Result<Option<String>> {
    Ok(accounts::of(user)?.and_then(|account| String::from_utf8(account.name).ok()))
}

/// Whether the subordinate ids come from another source than the files (nsswitch.conf(5)).
fn is_from_service() -> bool {
    let table = std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("subid:"))
        .any(|sources| sources.trim() != "files")
}

/// The ranges that getsubids(1) lists, in lines `number: owner first count`; none if it is not
/// installed.
fn ask_service(options: &[&str], name: &str) -> Result<Option<Vec<Range>>> {
    let Ok(getsubids) = executable::of_system("getsubids") else { return Ok(None) };
    let arguments: Vec<&OsStr> = options.iter().copied().chain([name]).map(OsStr::new).collect();
    let answer = query::ask(&getsubids, &arguments).map_err(|why| {
        Refusal::internal(format!("cannot look up the subordinate ids of {name}: {why}"))
    })?;
    let range = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(2);
        Some(Range { first: words.next()?.parse().ok()?, count: words.next()?.parse().ok()? })
    };
    Ok(Some(String::from_utf8_lossy(&answer).lines().filter_map(range).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_by_name_and_by_number_and_no_others() {
        let table = [
            "batch:1000:10",
            "500:2000:5",
            "batchx:1:1",
            "batch:x:1",
            "batch:1:1:1",
            "batch:0:5",
            "batch:7:0",
            "",
        ];
        let found: Vec<Range> =
            table.iter().filter_map(|line| parse_line(line, &["batch"], "500")).collect();
        assert_eq!(found, [Range { first: 1000, count: 10 }, Range { first: 2000, count: 5 }]);
    }

    #[test]
    fn lines_that_overlap_give_no_id_twice() {
        let range = |first, count| Range { first, count };
        let lines =
            vec![range(20, 5), range(10, 4), range(10, 4), range(12, 6), range(4_294_967_290, 100)];
        assert_eq!(
            without_overlaps(lines),
            [range(10, 4), range(14, 4), range(20, 5), range(4_294_967_290, 5)]
        );
    }

    #[test]
    fn an_index_has_one_id_of_each_kind() {
        let range = |first, count| Range { first, count };
        let ranges =
            Ranges { users: vec![range(10, 2), range(30, 2)], groups: vec![range(100, 3)] };
        assert_eq!(ranges.count(), 3);
        let raw = |ids: Ids| (ids.user.as_raw(), ids.group.as_raw());
        assert_eq!(
            [0, 1, 2].map(|index| ranges.at(index).map(raw)),
            [Some((10, 100)), Some((11, 101)), Some((30, 102))]
        );
        let indices = [31, 12].map(|user| ranges.index_of(Uid::from_raw(user)));
        assert_eq!((ranges.at(3), indices), (None, [Some(3), None]));
    }
}
