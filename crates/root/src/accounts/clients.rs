//! The users that may connect to the account daemon: /etc/glexec/clients, one user a line, by name
//! or user id.

use std::collections::HashMap;
use std::path::Path;

use command::accounts::Account;
use command::refusal::Result;
use error::Shown;

use super::list_file;
use super::{BadLine, Wrong, each_line};
use crate::mapping::words::words;
use crate::users::{self, UserList};

/// The users of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients(UserList);

impl Clients {
    /// The file.
    pub const PATH: &'static str = "/etc/glexec/clients";

    /// The content of the file before there is an entry.
    pub const FIRST: &'static [u8] =
        b"# The users that glexecd serves, one a line, by name or user \
        id. See glexec-clients(5).\n";

    /// Reads the file. 202 if it does not exist or is not trusted, or if a line is wrong.
    pub fn read() -> Result<Clients> {
        Ok(list_file::read(Path::new(Clients::PATH), Clients::parse)?)
    }

    /// Reads a text. Lines are blank, a comment from `#` on, or one user. The error names the first
    /// line that is wrong.
    pub fn parse(text: &[u8], path: &Path) -> std::result::Result<Clients, BadLine> {
        let mut lines: HashMap<Vec<u8>, usize> = HashMap::new();
        let entries = each_line(text, path, |line, number| {
            let Some(user) = user(line)? else { return Ok(None) };
            if let Some(first) = lines.insert(user.clone(), number) {
                return Err(format!("this user is in line {first} already: remove one of them"));
            }
            users::entry(&user).map(Some)
        })?;
        Ok(Clients(UserList::of(entries)))
    }

    /// Whether no user is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an account is listed. Root is only if a line names it.
    pub fn contains(&self, account: &Account) -> bool {
        self.0.contains(account)
    }
}

/// Adds users to a text; those that it has already stay. Returns the new text, and how many are
/// new.
pub fn add(
    text: &[u8],
    path: &Path,
    users: &[Vec<u8>],
) -> std::result::Result<(Vec<u8>, usize), BadLine> {
    let there = names(text, path)?;
    let mut new = text.to_vec();
    if !new.is_empty() && !new.ends_with(b"\n") {
        new.push(b'\n');
    }
    let mut count = 0;
    for name in users.iter().filter(|name| !there.contains(name)) {
        if user(name).ok().flatten().as_ref() != Some(name) {
            let why = format!("\"{}\" is not the name of a user", Shown(name));
            return Err(BadLine { path: path.to_owned(), line: there.len() + count + 1, why });
        }
        new.extend_from_slice(name);
        new.push(b'\n');
        count += 1;
    }
    // What is written must be read again, as these users.
    names(&new, path)?;
    Ok((new, count))
}

/// Removes the lines of users. Returns the new text, and how many there were.
pub fn remove(
    text: &[u8],
    path: &Path,
    users: &[Vec<u8>],
) -> std::result::Result<(Vec<u8>, usize), BadLine> {
    names(text, path)?;
    let is_kept = |line: &&[u8]| {
        !user(line.trim_ascii_end())
            .is_ok_and(|found| found.is_some_and(|found| users.contains(&found)))
    };
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let kept: Vec<&[u8]> = lines.clone().filter(is_kept).collect();
    let count = lines.count() - kept.len();
    Ok((kept.concat(), count))
}

/// The users of a text, as it has them.
fn names(text: &[u8], path: &Path) -> std::result::Result<Vec<Vec<u8>>, BadLine> {
    Clients::parse(text, path)?;
    each_line(text, path, |line, _| user(line))
}

/// The one word of a line.
fn user(line: &[u8]) -> std::result::Result<Option<Vec<u8>>, Wrong> {
    const FORM: &str = "it must be one user, by name or user id";
    let words = words(line).ok_or("its quotes or escapes are not valid")?;
    let mut words = words.into_iter();
    let Some(first) = words.next() else { return Ok(None) };
    if words.next().is_some() || first.is_quoted {
        return Err(FORM.to_owned());
    }
    if first.text.starts_with(b".") {
        return Err(format!("{FORM}: the prefix of a pool names no single user"));
    }
    Ok(Some(first.text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::super::MOST;
    use super::{BadLine, Clients};
    use crate::test_account::account;

    fn parse(text: &[u8]) -> Result<Clients, BadLine> {
        Clients::parse(text, Path::new("/clients"))
    }

    #[test]
    fn a_client_is_a_name_or_a_user_id() {
        let list = parse(b"# who may ask\n\ncondor # the pool\n 4711\t\npilot").unwrap();
        for (name, user) in [("condor", 1), ("any", 4711), ("pilot", 2)] {
            assert!(list.contains(&account(name, user)), "{name}");
        }
        for (name, user) in [("root", 0), ("condor1", 1), ("4711", 5)] {
            assert!(!list.contains(&account(name, user)), "{name}");
        }
        assert!(parse(b"").unwrap().is_empty());
    }

    #[test]
    fn a_bad_line_is_named_with_its_number_and_why() {
        for (line, why) in [
            (&b"a b"[..], "it must be one user, by name or user id"),
            (b"\"a\"", "it must be one user, by name or user id"),
            (b".pool", "the prefix of a pool names no single user"),
            (b"a,b", "\"a,b\" is not the name of an account"),
            (b"-x", "\"-x\" is not the name of an account"),
            (b"4294967295", "4294967295 is no user id"),
            (b"\"", "its quotes or escapes are not valid"),
            (b"a\0", "its quotes or escapes are not valid"),
            (b"good", "this user is in line 1 already"),
        ] {
            let bad = parse(&[b"good\n", line, b"\nlater\n"].concat()).unwrap_err();
            assert_eq!(bad.line, 2, "{bad}");
            let said = bad.to_string();
            assert!(said.starts_with("/clients, line 2: ") && said.contains(why), "{said}");
        }
    }

    #[test]
    fn users_are_added_and_removed_and_other_lines_stay() {
        let path = Path::new("/clients");
        let users =
            |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
        let text = b"# a\ncondor # x\n7";
        let (new, count) = super::add(text, path, &users(&["condor", "pilot"])).unwrap();
        assert_eq!((&new[..], count), (&b"# a\ncondor # x\n7\npilot\n"[..], 1));
        let (new, count) = super::remove(&new, path, &users(&["condor", "7", "none"])).unwrap();
        assert_eq!((&new[..], count), (&b"# a\npilot\n"[..], 2));
        for bad in ["a b", "a\nb", "", "#", "-a", "a #b"] {
            assert!(super::add(text, path, &users(&[bad])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_list_has_a_limited_number_of_users() {
        let lines = |count: usize| (1..=count).map(|id| format!("{id}\n")).collect::<String>();
        assert!(parse(lines(MOST).as_bytes()).is_ok());
        let bad = parse(lines(MOST + 1).as_bytes()).unwrap_err();
        assert_eq!((bad.line, bad.why.contains("more than")), (MOST + 1, true));
    }
}
