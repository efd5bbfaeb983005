//! The caller map: lines `account path-prefix target|.pool`. Credentials of the calling account
//! below the prefix have the target; the longest prefix counts. Words can be quoted as in a
//! grid-mapfile.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use command::refusal::{Refusal, Result};
use error::Shown;

use super::target::Target;
use super::words::words;
use crate::names::is_account_name;

/// The largest file, in bytes.
pub(crate) const LONGEST: u64 = 1 << 24;

/// A line.
struct Entry {
    account: Vec<u8>,
    prefix: Vec<u8>,
    target: Target,
}

/// The target of a caller's credential, which has an absolute path without symbolic links. A line
/// that is not understood is a refusal for all: its prefix could be longer.
pub(super) fn find(text: &[u8], path: &Path, caller: &[u8], credential: &Path) -> Result<Target> {
    let credential = credential.as_os_str().as_bytes();
    let mut found: Option<Entry> = None;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let refused =
            |why: &str| Refusal::internal(format!("{}, line {number}: {why}", Shown::os(path)));
        let Some(entry) = parse(line).map_err(refused)? else { continue };
        if entry.account != caller || !is_below(credential, &entry.prefix) {
            continue;
        }
        match &found {
            Some(before) if before.prefix.len() > entry.prefix.len() => {}
            Some(before) if before.prefix.len() == entry.prefix.len() => {
                return Err(refused("a line before it has the same account and prefix"));
            }
            _ => found = Some(entry),
        }
    }
    found.map(|entry| entry.target).ok_or_else(|| {
        Refusal::not_authorized(format!(
            "{} has no line for the account {} and the credential {}",
            Shown::os(path),
            Shown(caller),
            Shown(credential)
        ))
    })
}

/// The lines that are not understood, or are there twice: number, and why.
pub(crate) fn faults(text: &[u8]) -> Vec<(usize, &'static str)> {
    let mut seen = std::collections::HashSet::new();
    let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
    let mut fault = |line: &[u8]| {
        let entry = parse(line)?;
        match entry.is_none_or(|entry| seen.insert((entry.account, entry.prefix))) {
            true => Ok(()),
            false => Err("a line before it has the same account and prefix"),
        }
    };
    lines.filter_map(|(number, line)| fault(line).err().map(|why| (number, why))).collect()
}

/// A line; none if it is blank or a comment. The prefix has no slash at its end then.
fn parse(line: &[u8]) -> Result<Option<Entry>, &'static str> {
    let words = words(line).ok_or("its quotes or escapes are not valid")?;
    let words: Vec<Vec<u8>> = words.into_iter().map(|word| word.text).collect();
    let [account, prefix, target] = &words[..] else {
        return match words[..] {
            [] => Ok(None),
            _ => Err("it is not of the form: account path-prefix target"),
        };
    };
    if !is_account_name(account) {
        return Err("it does not begin with the name of an account");
    }
    let names = prefix.strip_prefix(b"/").ok_or("the prefix is not an absolute path")?;
    let names = names.strip_suffix(b"/").unwrap_or(names);
    let is_canonical = names.is_empty()
        || names.split(|byte| *byte == b'/').all(|name| sys::Name::new(name).is_some());
    if !is_canonical {
        return Err("the prefix is a path with . .. or //, which no credential has");
    }
    let target = Target::parse(target).ok_or("the target is neither an account nor a .pool")?;
    let prefix = if names.is_empty() { vec![] } else { [b"/", names].concat() };
    Ok(Some(Entry { account: account.clone(), prefix, target }))
}

/// Whether a path is a prefix, or below it, by whole components: /a/bc is not below /a/b.
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use command::Status;

    use super::{Target, faults};

    fn find(text: &[u8], caller: &str, credential: &str) -> Result<Target, Status> {
        let found = super::find(text, Path::new("/map"), caller.as_bytes(), Path::new(credential));
        found.map_err(|refusal| refusal.status)
    }

    #[test]
    fn the_longest_prefix_of_whole_components_counts() {
        let text = b"condor / .any\ncondor /pool/a/ alice # why\ncondor /pool .pool\n\
            condor \"/pool/a b\" bob\nother /pool/a/b x\n";
        let account = |name: &str| Ok(Target::Account(name.into()));
        let pool = |name: &str| Ok(Target::Pool(name.into()));
        for (credential, target) in [
            ("/pool/a/proxy", account("alice")),
            ("/pool/a", account("alice")),
            ("/pool/ab", pool("pool")),
            ("/pool/a b/c", account("bob")),
            ("/pool/x", pool("pool")),
            ("/pool2", pool("any")),
        ] {
            assert_eq!(find(text, "condor", credential), target, "{credential}");
        }
        assert_eq!(find(text, "other", "/pool/a"), Err(Status::NotAuthorized));
        assert_eq!(find(text, "cond", "/pool/a"), Err(Status::NotAuthorized));
        assert_eq!(find(b"", "condor", "/pool/a"), Err(Status::NotAuthorized));
        assert_eq!(faults(text), []);
    }

    #[test]
    fn a_line_that_is_not_understood_is_a_refusal() {
        for line in [
            "condor",
            "condor /a",
            "condor /a b c",
            "condor a b",
            "condor /a/../b b",
            "condor //a b",
            "condor /a .",
            "condor /a 0",
            "* /a b",
            "0 /a b",
            "condor \"/a b",
        ] {
            let text = format!("condor / x\n{line}\n");
            assert_eq!(find(text.as_bytes(), "condor", "/c"), Err(Status::Internal), "{line}");
            assert_eq!(faults(text.as_bytes()).len(), 1, "{line}");
        }
    }

    #[test]
    fn two_lines_with_one_prefix_are_a_refusal() {
        let text = b"condor /a x\ncondor /a/ y\n";
        assert_eq!(find(text, "condor", "/a/b"), Err(Status::Internal));
        assert_eq!(find(text, "condor", "/b"), Err(Status::NotAuthorized));
        assert_eq!(faults(text).len(), 1);
    }
}
