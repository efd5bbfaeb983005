//! The subordinate ids of the caller: numbers that an administrator has given it to use in user
//! namespaces (subuid(5), subgid(5)).

use std::process::{Command, Stdio};

use sys::{Gid, Uid};

use super::refusal::{Refusal, Result};

/// Consecutive numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: u32,
    count: u32,
}

/// The user and group ids that payloads can have: one of each for a payload.
#[derive(Debug)]
pub struct Ranges {
    users: Vec<Range>,
    groups: Vec<Range>,
}

impl Ranges {
    /// Finds those of a user.
    pub fn of(user: Uid) -> Result<Ranges> {
        let name = name_of(user);
        let names: Vec<&str> = name.as_deref().into_iter().collect();
        let number = user.to_string();
        let asks = asks_a_service();
        let of = |file: &str, option: &[&str]| {
            let found = match &name {
                Some(name) if asks => asked(option, name),
                _ => None,
            };
            found.unwrap_or_else(|| {
                let table = std::fs::read_to_string(file).unwrap_or_default();
                table.lines().filter_map(|line| line_of(line, &names, &number)).collect()
            })
        };
        let ranges = Ranges {
            users: without_overlaps(of("/etc/subuid", &[])),
            groups: without_overlaps(of("/etc/subgid", &["-g"])),
        };
        if ranges.count() == 0 {
            let who = name.unwrap_or(number);
            let command = command_for_some(&who);
            return Err(Refusal::internal(format!(
                "{who} has no subordinate ids; an administrator can give some: {command}"
            )));
        }
        Ok(ranges)
    }

    /// How many payloads can have ids of their own.
    pub fn count(&self) -> u32 {
        let count = |ranges: &[Range]| {
            ranges.iter().fold(0_u32, |sum, range| sum.saturating_add(range.count))
        };
        count(&self.users).min(count(&self.groups))
    }

    /// The user id and group id of a place below [`Ranges::count`].
    pub fn at(&self, place: u32) -> Option<(Uid, Gid)> {
        let (user, group) = (nth(&self.users, place)?, nth(&self.groups, place)?);
        Some((Uid::from_raw(user), Gid::from_raw(group)))
    }

    /// The place of a user id.
    pub fn place_of(&self, user: Uid) -> Option<u32> {
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

/// The command that gives a user some that nobody has, as far as the two files tell. (usermod(8)
/// does not look.)
pub fn command_for_some(who: &str) -> String {
    const COUNT: u32 = 1000;
    let all = entries("/etc/subuid").into_iter().chain(entries("/etc/subgid"));
    let free = all
        .map(|(_, range)| range.first.saturating_add(range.count))
        .max()
        .unwrap_or(0)
        .max(300_000);
    // Rounded up, for people.
    let first = free.div_ceil(COUNT).saturating_mul(COUNT).min(u32::MAX - 2 * COUNT);
    let last = first + COUNT - 1;
    format!("usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {who}")
}

/// Another owner of subordinate ids some of which are a user's as well, as far as the two files
/// tell: payloads of both could meet in one user.
pub fn shared_with(user: Uid) -> Option<String> {
    let (name, number) = (name_of(user), user.to_string());
    let is_own = |owner: &str| Some(owner) == name.as_deref() || owner == number;
    let meets = |one: &Range, other: &Range| {
        let last = |range: &Range| range.first.saturating_add(range.count - 1);
        one.first <= last(other) && other.first <= last(one)
    };
    ["/etc/subuid", "/etc/subgid"].into_iter().find_map(|file| {
        let (own, others): (Vec<_>, Vec<_>) =
            entries(file).into_iter().partition(|(owner, _)| is_own(owner));
        let is_shared = |(_, range): &(String, Range)| own.iter().any(|(_, own)| meets(own, range));
        others.into_iter().find(is_shared).map(|(owner, _)| owner)
    })
}

/// Whose ranges a file names.
fn entries(file: &str) -> Vec<(String, Range)> {
    let table = std::fs::read_to_string(file).unwrap_or_default();
    let entry = |line: &str| {
        let owner = line.split(':').next()?;
        line_of(line, &[owner], owner).map(|range| (owner.to_owned(), range))
    };
    table.lines().filter_map(entry).collect()
}

/// The same numbers, each once: lines may overlap, and no two payloads may share an id. The highest
/// number is nobody's (-1).
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

fn nth(ranges: &[Range], mut place: u32) -> Option<u32> {
    for range in ranges {
        if place < range.count {
            return range.first.checked_add(place);
        }
        place -= range.count;
    }
    None
}

/// A line `owner:first:count`, if it is of this owner, by name or by number. Root's own id is never
/// anybody's.
fn line_of(line: &str, names: &[&str], number: &str) -> Option<Range> {
    let mut fields = line.trim().split(':');
    let owner = fields.next()?;
    let range = Range { first: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? };
    (fields.next().is_none()
        && (names.contains(&owner) || owner == number)
        && range.first > 0
        && range.count > 0)
        .then_some(range)
}

/// The name of a user: from the file, or from whatever else the machine asks.
pub fn name_of(user: Uid) -> Option<String> {
    let find = |table: &str| {
        table.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(user.as_raw())).then(|| name.to_owned())
        })
    };
    find(&std::fs::read_to_string("/etc/passwd").unwrap_or_default()).or_else(|| {
        let mut command = Command::new("getent");
        find(&said(command.args(["passwd", &user.to_string()]))?)
    })
}

/// Whether the ranges come from somewhere else than the files (nsswitch.conf(5)).
fn asks_a_service() -> bool {
    let table = std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("subid:"))
        .any(|sources| sources.trim() != "files")
}

/// What getsubids(1) says: lines `number: owner first count`. None if it can't be asked.
fn asked(option: &[&str], name: &str) -> Option<Vec<Range>> {
    let said = said(Command::new("getsubids").args(option).arg(name))?;
    let range = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(2);
        Some(Range { first: words.next()?.parse().ok()?, count: words.next()?.parse().ok()? })
    };
    Some(said.lines().filter_map(range).collect())
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()
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
            table.iter().filter_map(|line| line_of(line, &["batch"], "500")).collect();
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
    fn a_place_has_one_id_of_each_kind() {
        let range = |first, count| Range { first, count };
        let ranges =
            Ranges { users: vec![range(10, 2), range(30, 2)], groups: vec![range(100, 3)] };
        assert_eq!(ranges.count(), 3);
        let raw = |(user, group): (Uid, Gid)| (user.as_raw(), group.as_raw());
        assert_eq!(
            [0, 1, 2].map(|place| ranges.at(place).map(raw)),
            [Some((10, 100)), Some((11, 101)), Some((30, 102))]
        );
        let places = [31, 12].map(|user| ranges.place_of(Uid::from_raw(user)));
        assert_eq!((ranges.at(3), places), (None, [Some(3), None]));
    }
}
