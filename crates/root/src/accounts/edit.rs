//! Changes of the list of accounts. Each is atomic, and keeps all other lines as they are.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use command::refusal::{Refusal, Result};
use error::{Context as _, Error, Shown};
use hooks::trust::{self, Owners};
use sys::{Dir, Errno, Name, Rename};

use super::LONGEST;
use super::list::{self, AccountList, Entry};
use super::list_file;
use crate::names::is_account_name;
use crate::trusted;

/// How long a change waits for another one.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Adds accounts; those that the text has already, with this owner, stay. Returns the new text, and
/// how many accounts are new. An account that has another owner, or is a guest account, is a
/// refusal.
pub fn add(
    text: &[u8],
    path: &Path,
    accounts: &[(Vec<u8>, Option<Vec<u8>>)],
) -> Result<(Vec<u8>, usize)> {
    let listed =
        AccountList::parse(text, path).map_err(|bad| Refusal::internal(bad.to_string()))?;
    let mut new = text.to_vec();
    if !new.is_empty() && !new.ends_with(b"\n") {
        new.push(b'\n');
    }
    let mut count = 0;
    let by_name: HashMap<&[u8], &Entry> =
        listed.entries().iter().map(|entry| (&entry.account[..], entry)).collect();
    for (account, owner) in accounts {
        if !is_account_name(account) {
            let shown = Shown(account);
            return Err(Refusal::client(format!("\"{shown}\" is not the name of an account")));
        }
        match by_name.get(&account[..]) {
            Some(there) if there.owner == *owner => {}
            Some(there) => {
                let is = match &there.owner {
                    None => "a guest account".to_owned(),
                    Some(owner) => format!("the account of {}", Shown(owner)),
                };
                return Err(Refusal::client(format!(
                    "{} is {is} ({}, line {}): remove it first",
                    Shown(account),
                    Shown::os(path),
                    there.line
                )));
            }
            None => {
                new.extend_from_slice(&list::line(account, owner.as_deref()));
                new.push(b'\n');
                count += 1;
            }
        }
    }
    // What is written must be read again.
    AccountList::parse(&new, path).map_err(|bad| Refusal::client(bad.to_string()))?;
    if new.len() as u64 > LONGEST {
        return Err(Refusal::client(format!(
            "{} would be longer than {LONGEST} bytes",
            Shown::os(path)
        )));
    }
    Ok((new, count))
}

/// Removes the lines of accounts. Returns the new text, and how many of them were there.
pub fn remove(text: &[u8], path: &Path, accounts: &[Vec<u8>]) -> Result<(Vec<u8>, usize)> {
    let listed =
        AccountList::parse(text, path).map_err(|bad| Refusal::internal(bad.to_string()))?;
    let named: HashSet<&[u8]> = accounts.iter().map(|account| &account[..]).collect();
    let is_named = |entry: &&Entry| named.contains(&entry.account[..]);
    let entries = listed.entries().iter().filter(is_named);
    let lines: HashSet<usize> = entries.map(|entry| entry.line).collect();
    let kept = (1..).zip(text.split_inclusive(|byte| *byte == b'\n'));
    let kept = kept.filter(|(number, _)| !lines.contains(number)).map(|(_, line)| line);
    Ok((kept.collect::<Vec<_>>().concat(), lines.len()))
}

/// Replaces the file by what `change` makes of its content, if that differs: the new content is
/// written to a new file beside it and renamed. Meanwhile the directory is locked, so that of two
/// changes none is lost. A file that does not exist yet has `first` as its content, a comment.
///
/// The file must be trusted, as the daemon trusts it; the new one has the same mode, and 0600 if it
/// is the first.
pub fn change<T>(
    path: &Path,
    first: &[u8],
    change: impl FnOnce(&[u8]) -> Result<(Vec<u8>, T)>,
) -> Result<T> {
    let failed = |error: Error| Refusal::internal(error.to_string());
    let directory = path.parent().unwrap_or(path);
    let directory_of = trust::open_directory(directory, &Owners::ROOT).map_err(failed)?;
    let _locked = lock(&directory_of, directory).map_err(failed)?;
    let (text, mode) = match list_file::open(path) {
        Err(Error::System { cause: Errno::ENOENT, .. }) => (first.to_vec(), 0o600),
        opened => {
            let (file, found) = opened.map_err(failed)?;
            let mode = std::os::unix::fs::MetadataExt::mode(&found) & 0o7777;
            (trusted::content(file, path, LONGEST).map_err(failed)?, mode)
        }
    };
    let (new, answer) = change(&text)?;
    if new != text {
        replace(&directory_of, path, &new, mode).map_err(failed)?;
    }
    Ok(answer)
}

fn lock(directory: &Dir, path: &Path) -> error::Result<Dir> {
    let end = Instant::now() + TIMEOUT;
    loop {
        match directory.lock() {
            Err(Errno::EAGAIN) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(Errno::EAGAIN) => {
                let why = format!("another change has not ended within {} s", TIMEOUT.as_secs());
                return Err(Error::refused(path, why));
            }
            locked => return locked.at("lock", path),
        }
    }
}

/// Writes a new file and gives it the name. A reader sees the old file or the whole new one, also
/// after a crash of the machine.
fn replace(directory: &Dir, path: &Path, content: &[u8], mode: u32) -> error::Result<()> {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let temporary = [b".", name, b".new"].concat();
    let (Some(name), Some(temporary)) = (Name::new(name), Name::new(&temporary)) else {
        return Err(Error::refused(path, "it is not the path of a file"));
    };
    let beside = path.with_file_name(temporary.os());
    // One that a killed change has left: the lock says that no other change runs.
    match directory.remove_file(temporary) {
        Err(Errno::ENOENT) => {}
        removed => removed.at("remove", &beside)?,
    }
    let written = write(directory, temporary, content, mode)
        .at("write", &beside)
        .and_then(|()| directory.rename(temporary, name, Rename::Replace).at("replace", path));
    if written.is_err() {
        let _ = directory.remove_file(temporary);
        return written;
    }
    fs::File::open(path.parent().unwrap_or(path)).and_then(|open| open.sync_all()).at("sync", path)
}

fn write(directory: &Dir, name: Name<'_>, content: &[u8], mode: u32) -> std::io::Result<()> {
    let mut file: File = directory.create_file(name)?;
    sys::file::set_mode(&file, mode)?;
    file.write_all(content)?;
    file.sync_all()
}

/// The accounts of a pool: the prefix and numbers of the same width, from 1 on. The width is that
/// of the count, and at least two digits. The error says why the names cannot be names.
pub fn pool(prefix: &[u8], count: usize) -> std::result::Result<Vec<Vec<u8>>, String> {
    let width = count.to_string().len().max(2);
    let names = (1..=count).map(|number| [prefix, format!("{number:0width$}").as_bytes()].concat());
    let names: Vec<Vec<u8>> = names.collect();
    match names.iter().find(|name| !is_account_name(name)) {
        Some(name) => Err(format!("\"{}\" is not the name of an account", Shown(name))),
        None => Ok(names),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::{add, pool, remove};

    const PATH: &str = "/accounts";

    fn added(text: &[u8], account: &str, owner: Option<&str>) -> Result<(Vec<u8>, usize), String> {
        let owner = owner.map(|owner| owner.as_bytes().to_vec());
        add(text, Path::new(PATH), &[(account.into(), owner)]).map_err(|why| why.text)
    }

    #[test]
    fn other_lines_stay_byte_for_byte() {
        let text = b"# a\n\n  guest1   # x\n\"";
        assert!(added(text, "b", None).unwrap_err().starts_with("/accounts, line 4"));
        let text = b"# a\n\n  guest1   # x\nalice bob";
        let (new, count) = added(text, "carol", Some("/CN=c d")).unwrap();
        assert_eq!(count, 1);
        assert_eq!(new, [&text[..], b"\ncarol \"/CN=c d\"\n"].concat());
        let names: Vec<Vec<u8>> = vec![b"alice".to_vec(), b"none".to_vec()];
        let (new, count) = remove(&new, Path::new(PATH), &names).unwrap();
        assert_eq!((&new[..], count), (&b"# a\n\n  guest1   # x\ncarol \"/CN=c d\"\n"[..], 1));
    }

    #[test]
    fn an_account_that_is_there_stays_and_its_owner_is_not_changed() {
        let text = b"guest\nalice bob\n";
        assert_eq!(added(text, "guest", None).unwrap(), (text.to_vec(), 0));
        assert_eq!(added(text, "alice", Some("bob")).unwrap(), (text.to_vec(), 0));
        let why = added(text, "alice", None).unwrap_err();
        assert_eq!(why, "alice is the account of bob (/accounts, line 2): remove it first");
        let why = added(text, "guest", Some("bob")).unwrap_err();
        assert_eq!(why, "guest is a guest account (/accounts, line 1): remove it first");
        assert!(added(text, "a b", None).is_err() && added(text, "x\ny", None).is_err());
    }

    #[test]
    fn the_accounts_of_a_pool_have_numbers_of_one_width() {
        let names = |prefix: &str, count| {
            let names = pool(prefix.as_bytes(), count)?;
            Ok::<_, String>(names.into_iter().map(|n| String::from_utf8(n).unwrap()).collect())
        };
        assert_eq!(names("g", 3), Ok(vec!["g01".to_owned(), "g02".into(), "g03".into()]));
        let many: Vec<String> = names("g", 100).unwrap();
        assert_eq!((many[0].as_str(), many[99].as_str()), ("g001", "g100"));
        for prefix in ["", "-", "a b", "a/b", "a:"] {
            assert!(names(prefix, 2).is_err(), "{prefix}");
        }
    }
}
