//! Names for a payload's user and group: /etc/passwd and /etc/group as the payload sees them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The name of a payload's user and group that have none on the machine.
const NAME: &str = "payload";

/// The entries of a table whose third field is this id: their names.
fn name_in(table: &[u8], id: u32) -> Option<Vec<u8>> {
    let id = id.to_string();
    table.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)? == id.as_bytes()).then(|| name.to_vec())
    })
}

/// A name that no entry of a table has: this one, if it can be.
fn free_name(table: &[u8], id: u32, wanted: Option<&str>) -> String {
    let is_taken = |name: &str| {
        table
            .split(|byte| *byte == b'\n')
            .any(|line| line.split(|byte| *byte == b':').next() == Some(name.as_bytes()))
    };
    let is_name = |name: &&str| !name.is_empty() && !name.contains([':', '\n']);
    if let Some(name) = wanted.filter(is_name).filter(|name| !is_taken(name)) {
        return name.to_owned();
    }
    let numbered = || (0..).map(|n| format!("{NAME}{id}_{n}")).find(|name| !is_taken(name));
    if is_taken(NAME) { numbered().unwrap_or_default() } else { NAME.to_owned() }
}

/// The name of a user in the closed world, by this table.
pub(crate) fn name_of(table: &[u8], user: u32) -> String {
    name_in(table, user).map_or_else(
        || free_name(table, user, None),
        |name| String::from_utf8_lossy(&name).into_owned(),
    )
}

/// The table of users, with an entry for this user, whose home is this directory. Its name is the
/// wanted one, if no other user has it.
pub(crate) fn passwd(
    table: &[u8],
    (user, wanted): (u32, Option<&str>),
    group: u32,
    home: &Path,
) -> Vec<u8> {
    with(table, user, wanted, |name| {
        // A home with a colon or a newline would be other fields.
        let home = home.as_os_str().as_bytes();
        let is_plain = !home.iter().any(|byte| matches!(byte, b':' | b'\n'));
        let home = if is_plain { OsStr::from_bytes(home).as_bytes() } else { b"/" };
        let begin = format!("{name}:x:{user}:{group}:payload:");
        [begin.as_bytes(), home, b":/bin/sh\n"].concat()
    })
}

/// The table of groups, with an entry for this group.
pub(crate) fn group(table: &[u8], group: u32) -> Vec<u8> {
    with(table, group, None, |name| format!("{name}:x:{group}:\n").into_bytes())
}

/// The table, with one more line if it has no entry of this id.
fn with(
    table: &[u8],
    id: u32,
    wanted: Option<&str>,
    line: impl FnOnce(&str) -> Vec<u8>,
) -> Vec<u8> {
    if name_in(table, id).is_some() {
        return table.to_vec();
    }
    let newline: &[u8] = if table.is_empty() || table.ends_with(b"\n") { b"" } else { b"\n" };
    [table, newline, &line(&free_name(table, id, wanted))].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_name_gets_one_that_is_free() {
        let table = b"root:x:0:0::/root:/bin/sh";
        let of = |table: &[u8], user, name, home: &str| {
            passwd(table, (user, name), 70001, Path::new(home))
        };
        let with = of(table, 70000, None, "/s");
        let line = "payload:x:70000:70001:payload:/s:/bin/sh\n";
        assert_eq!(with, [table, &b"\n"[..], line.as_bytes()].concat());
        assert_eq!(of(&with, 70000, None, "/s"), with);
        let last = |name| of(&with, 9, name, "/a:b")[with.len()..].to_vec();
        assert_eq!(last(None), b"payload9_0:x:9:70001:payload:/:/bin/sh\n");
        assert_eq!(last(Some("job")), b"job:x:9:70001:payload:/:/bin/sh\n");
        assert_eq!(last(Some("root")), last(None));
        assert_eq!(group(b"", 5), b"payload:x:5:\n");
        assert_eq!(group(b"a:x:5:b\n", 5), b"a:x:5:b\n");
    }
}
