//! The accounts on lease: /etc/glexec/accounts, lines `account [owner]`. An account with an owner
//! is leased for that owner only; one without is a guest account.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use command::refusal::Result;
use error::{Error, Shown};
use sys::Errno;

use super::list_file::{self, ListError};
use super::{BadLine, Wrong, each_line};
use crate::mapping::is_same_subject;
use crate::mapping::words::{Word, words};
use crate::names::is_account_name;

/// An account on lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub account: Vec<u8>,
    /// The identity that owns it: a subject, which begins with `/`, or the name of a calling
    /// account. Without an owner it is a guest account.
    pub owner: Option<Vec<u8>>,
    /// The number of its line, from 1.
    pub line: usize,
}

impl Entry {
    /// Whether a verified subject owns the account. Spellings of one attribute are the same, as in
    /// a grid-mapfile.
    pub fn is_owned_by_subject(&self, subject: &[u8]) -> bool {
        let owner = self.owner.as_deref().filter(|owner| is_subject(owner));
        owner.is_some_and(|owner| is_same_subject(owner, subject))
    }

    /// Whether a calling account owns the account.
    pub fn is_owned_by_caller(&self, caller: &[u8]) -> bool {
        self.owner.as_deref() == Some(caller) && !is_subject(caller)
    }
}

/// The accounts of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountList(Vec<Entry>);

impl AccountList {
    /// The file.
    pub const PATH: &'static str = "/etc/glexec/accounts";

    /// The content of the file before there is an entry.
    pub const FIRST: &'static [u8] = b"# The accounts that glexecd leases, one a line: \
        account [owner]. See glexec-accounts(5).\n";

    /// Reads the file; an empty list if it does not exist. 202 if it is not trusted, or if a line
    /// is wrong.
    pub fn read() -> Result<AccountList> {
        match list_file::read(Path::new(AccountList::PATH), AccountList::parse) {
            Err(ListError::File(Error::System { cause: Errno::ENOENT, .. })) => {
                Ok(AccountList::default())
            }
            read => Ok(read?),
        }
    }

    /// Reads a text. Lines are blank, a comment from `#` on, or an account and its owner. No
    /// account is there twice. The error names the first line that is wrong.
    pub fn parse(text: &[u8], path: &Path) -> std::result::Result<AccountList, BadLine> {
        let mut lines: HashMap<Vec<u8>, usize> = HashMap::new();
        let entries = each_line(text, path, |bytes, line| {
            let Some(entry) = entry(bytes, line)? else { return Ok(None) };
            if let Some(first) = lines.insert(entry.account.clone(), line) {
                return Err(format!("this account is in line {first} already: remove one of them"));
            }
            Ok(Some(entry))
        })?;
        Ok(AccountList(entries))
    }

    /// All accounts, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }
}

/// Whether an owner is a subject; else it is the name of an account.
pub(super) fn is_subject(owner: &[u8]) -> bool {
    owner.starts_with(b"/")
}

/// Checks an owner that an administrator names in one argument.
pub fn check_owner(text: &[u8]) -> std::result::Result<(), String> {
    owner(Word { text: text.to_vec(), is_quoted: is_subject(text) }).map(drop)
}

/// The entry of a line; none if it is blank or a comment.
fn entry(bytes: &[u8], line: usize) -> std::result::Result<Option<Entry>, Wrong> {
    let words = words(bytes).ok_or("its quotes or escapes are not valid")?;
    let mut words = words.into_iter();
    let Some(account) = words.next() else { return Ok(None) };
    if account.is_quoted || !is_account_name(&account.text) {
        return Err(format!("\"{}\" is not the name of an account", Shown(&account.text)));
    }
    let owner = words.next().map(owner).transpose()?;
    if words.next().is_some() {
        let form = "it must be: account [owner]; a subject with blanks is in double quotes";
        return Err(form.to_owned());
    }
    Ok(Some(Entry { account: account.text, owner, line }))
}

fn owner(Word { text, is_quoted }: Word) -> std::result::Result<Vec<u8>, Wrong> {
    let shown = Shown(&text);
    if text.len() > LONGEST_SUBJECT {
        return Err(format!("the owner is longer than {LONGEST_SUBJECT} bytes"));
    }
    if is_quoted && (!is_subject(&text) || text.len() < 2) {
        return Err(format!(
            "the owner \"{shown}\" is no subject: a subject is /C=.../O=.../CN=..."
        ));
    }
    if !is_quoted && !is_account_name(&text) {
        return Err(format!(
            "the owner {shown} is not the name of an account; a subject is in double quotes"
        ));
    }
    Ok(text)
}

/// The longest subject of an owner, in bytes.
const LONGEST_SUBJECT: usize = 4096;

/// The line of an account, as the list has it, without a newline.
pub(super) fn line(account: &[u8], owner: Option<&[u8]>) -> Vec<u8> {
    let mut line = account.to_vec();
    match owner {
        None => {}
        Some(subject) if is_subject(subject) => {
            let mut quoted = String::from(" \"");
            for byte in subject {
                let _ = match byte {
                    b'"' | b'\\' => write!(quoted, "\\{}", char::from(*byte)),
                    b' '..=b'~' => write!(quoted, "{}", char::from(*byte)),
                    byte => write!(quoted, "\\x{byte:02x}"),
                };
            }
            quoted.push('"');
            line.extend_from_slice(quoted.as_bytes());
        }
        Some(name) => {
            line.push(b' ');
            line.extend_from_slice(name);
        }
    }
    line
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::{AccountList, BadLine, Entry, check_owner, is_subject, line};
    use crate::names::is_account_name;

    fn parse(text: &[u8]) -> Result<Vec<Entry>, BadLine> {
        AccountList::parse(text, Path::new("/accounts")).map(|list| list.0)
    }

    #[test]
    fn an_account_has_an_owner_or_is_a_guest_account() {
        let text = br#"# pool
guest01
alice "/C=XX/O=Grid/CN=Alice \"A\" \x41" # hers

bob	condor"#;
        let listed = parse(text).unwrap();
        let owners: Vec<_> = listed.iter().map(|listed| listed.owner.clone()).collect();
        let alice = b"/C=XX/O=Grid/CN=Alice \"A\" A".to_vec();
        assert_eq!(owners, [None, Some(alice), Some(b"condor".to_vec())]);
        let lines: Vec<_> = listed.iter().map(|listed| listed.line).collect();
        assert_eq!(lines, [2, 3, 5]);
        assert_eq!(listed[0].account, b"guest01");
    }

    #[test]
    fn an_owner_is_compared_as_a_subject_or_as_an_account() {
        let listed = parse(b"a \"/O=a/Email=b\"\nb condor\nc\n").unwrap();
        let [subject, caller, guest] = &listed[..] else { panic!() };
        assert!(subject.is_owned_by_subject(b"/O=a/emailAddress=b"));
        assert!(!subject.is_owned_by_subject(b"/O=a") && !guest.is_owned_by_subject(b""));
        assert!(caller.is_owned_by_caller(b"condor") && !caller.is_owned_by_caller(b"condor1"));
        assert!(!caller.is_owned_by_subject(b"condor"));
        assert!(!subject.is_owned_by_caller(b"/O=a/Email=b") && !guest.is_owned_by_caller(b""));
        assert!(check_owner(b"/O=a b").is_ok() && check_owner(b"condor").is_ok());
        for bad in [&b""[..], b"/", b"a b", b"-a", b"4711"] {
            assert!(check_owner(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_bad_line_is_named_with_its_number_and_why() {
        for (line, why) in [
            (&b"a b c"[..], "it must be: account [owner]"),
            (b"a /O=x/CN=y z", "the owner /O=x/CN=y is not the name of an account"),
            (b"a \"O=x\"", "is no subject"),
            (b"a \"/\"", "is no subject"),
            (b"a \"\"", "is no subject"),
            (b"a -b", "the owner -b is not the name of an account"),
            (b"\"a\" b", "\"a\" is not the name of an account"),
            (b"../a", "\"../a\" is not the name of an account"),
            (b"4711", "\"4711\" is not the name of an account"),
            (b".pool", "\".pool\" is not the name of an account"),
            (b"a \"/CN=x", "its quotes or escapes are not valid"),
            (b"a b\0", "its quotes or escapes are not valid"),
            (b"first", "this account is in line 1 already"),
        ] {
            let bad = parse(&[b"first\n", line, b"\nlater\n"].concat()).unwrap_err();
            let said = bad.to_string();
            assert!(said.starts_with("/accounts, line 2: ") && said.contains(why), "{said}");
            assert!(!said.contains(char::is_control), "{said}");
        }
        let long = [b"a \"/", &[b'x'; 4096][..], b"\""].concat();
        assert!(parse(&long).unwrap_err().why.contains("longer than 4096 bytes"));
    }

    #[test]
    fn a_line_that_is_written_is_read_as_the_same_entry() {
        for _ in 0..5000 {
            let rest: Vec<u8> = (0..fastrand::usize(1..40)).map(|_| fastrand::u8(1..)).collect();
            let owner = match fastrand::u8(..3) {
                0 => None,
                1 => Some(b"condor".to_vec()),
                _ => Some([b"/", &rest[..]].concat()),
            };
            let written = line(b"pool01", owner.as_deref());
            assert!(!written.contains(&b'\n'), "{}", written.escape_ascii());
            let read = parse(&[&written[..], b"\n"].concat()).unwrap();
            assert_eq!(read, [Entry { account: b"pool01".to_vec(), owner, line: 1 }]);
        }
    }

    #[test]
    fn no_text_makes_the_list_name_what_cannot_be_an_account() {
        const PIECES: [&[u8]; 12] =
            [b"\n", b" ", b"\"", b"\\", b"\\x4", b"#", b".", b"/", b"\0", b"a", b"/CN=a", b"bob"];
        for _ in 0..20_000 {
            let piece = |_| match fastrand::choice(PIECES).filter(|_| fastrand::u8(..8) > 0) {
                Some(piece) => piece.to_vec(),
                None => vec![fastrand::u8(..)],
            };
            let text: Vec<u8> = (0..fastrand::usize(..40)).flat_map(piece).collect();
            let shown = text.escape_ascii().to_string();
            let Ok(listed) = parse(&text) else { continue };
            for Entry { account, owner, line } in &listed {
                assert!(is_account_name(account), "{shown}");
                assert!(*line <= 1 + text.iter().filter(|byte| **byte == b'\n').count(), "{shown}");
                let is_owner = |owner: &Vec<u8>| is_subject(owner) || is_account_name(owner);
                assert!(owner.as_ref().is_none_or(is_owner), "{shown}");
            }
            let mut names: Vec<_> = listed.iter().map(|listed| &listed.account).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), listed.len(), "{shown}");
        }
    }
}
