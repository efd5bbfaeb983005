//! The root directory of a payload, where the administrator gives it one of its own: by the table
//! `root_directories`, or by a session script. It is root's, as a program that runs as root has to
//! be: a payload believes the libraries and the tables of accounts that it finds there.
//!
//! A line of the table is `WHO DIRECTORY`, with words as in a grid-mapfile. WHO is an account,
//! `@group`, or a pattern of account names with `*` and `?`. The first line that fits counts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ::world::Bind;
use command::groups;
use command::refusal::{Refusal, Result};
use error::Shown;
use hooks::trust::{self, Owners};

use crate::config::Config;
use crate::mapping::words;
use crate::names::is_account_name;
use crate::target::Target;
use crate::trusted;

/// The largest table, in bytes.
pub(crate) const LONGEST: u64 = 1 << 20;

/// A root directory, with what the payload sees in it beside the directory's own files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The directory.
    pub directory: PathBuf,
    /// What of the machine is there, read-only (`root_mounts`).
    pub mounts: Vec<Bind>,
}

/// The root directory of a payload; none if it has the machine's. `by_script` is what a session
/// script asks for, which counts more than the table.
pub(crate) fn of(
    config: &Config,
    target: &Target,
    by_script: Option<&OsStr>,
) -> Result<Option<Root>> {
    let found = match (by_script, &config.root_directories) {
        (Some(path), _) => Ok(Some(path.as_bytes().to_vec())),
        (None, Some(table)) => in_table(table, target, config)?,
        (None, None) => Ok(None),
    };
    let usable = found.and_then(|path| path.map(usable).transpose());
    match usable {
        Ok(directory) => {
            Ok(directory.map(|directory| Root { directory, mounts: config.root_mounts.clone() }))
        }
        Err(why) if config.root_directory_error_refuses => Err(why),
        Err(_) => Ok(None),
    }
}

/// A path that can be the root: absolute and plain, and all that leads to it is root's.
fn usable(path: Vec<u8>) -> Result<PathBuf> {
    let failed = |why: &str| {
        Refusal::internal(format!("cannot use the root directory {}: {why}", Shown(&path)))
    };
    let is_plain = path.strip_prefix(b"/").is_some_and(|rest| {
        rest.split(|byte| *byte == b'/').all(|name| sys::Name::new(name).is_some())
    });
    if !is_plain {
        return Err(failed("it is not an absolute path, without . .. // and a slash at its end"));
    }
    let directory = Path::new(OsStr::from_bytes(&path));
    trust::open_directory(directory, &Owners::ROOT).map_err(|why| failed(&why.to_string()))?;
    Ok(directory.to_owned())
}

/// What the table says about an account; an error for the call if it is not in it, and an error of
/// the directory as the inner result.
#[allow(clippy::type_complexity)]
fn in_table(table: &Path, target: &Target, config: &Config) -> Result<Result<Option<Vec<u8>>>> {
    let read = trusted::read(table, LONGEST);
    let text = match read {
        Ok(text) => text,
        Err(error) => return Ok(Err(Refusal::internal(format!("root_directories: {error}")))),
    };
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let refused =
            |why: &str| Refusal::internal(format!("{}, line {number}: {why}", Shown::os(table)));
        match parse(line) {
            Ok(None) => {}
            Ok(Some((who, directory))) if fits(&who, target)? => {
                return Ok(expand(&directory, target).map_err(|why| match why {
                    Expansion::Unknown => refused("% is followed by neither u, g, h nor %"),
                    Expansion::Group(why) => why,
                }));
            }
            Ok(Some(_)) => {}
            Err(why) => return Ok(Err(refused(why))),
        }
    }
    let name = Shown(&target.account.name);
    match config.root_directory_missing_refuses {
        true => Err(Refusal::not_authorized(format!(
            "{} has no line for the account {name} (root_directory_missing)",
            Shown::os(table)
        ))),
        false => Ok(Ok(None)),
    }
}

/// The lines that are not understood: number, and why.
pub(crate) fn faults(text: &[u8]) -> Vec<(usize, &'static str)> {
    let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
    lines.filter_map(|(number, line)| parse(line).err().map(|why| (number, why))).collect()
}

/// Whom a line is about, and the directory.
type Line = (Vec<u8>, Vec<u8>);

/// The two words of a line; none if it is blank or a comment. The error says why it is neither.
fn parse(line: &[u8]) -> Result<Option<Line>, &'static str> {
    let words = words::words(line).ok_or("its quotes or escapes are not valid")?;
    let words: Vec<Vec<u8>> = words.into_iter().map(|word| word.text).collect();
    let [who, directory] = &words[..] else {
        return match words[..] {
            [] => Ok(None),
            _ => Err("it is not of the form: account, @group or pattern, and a directory"),
        };
    };
    let is_letter = |byte: &u8| !matches!(byte, b'*' | b'?');
    let letters: Vec<u8> = who.iter().copied().filter(is_letter).collect();
    let is_who = match who.first() {
        Some(b'~') => {
            return Err("regular expressions are not understood: use a pattern with * and ?");
        }
        Some(b'@') => is_account_name(&who[1..]),
        _ => letters.is_empty() && !who.is_empty() || is_account_name(&letters),
    };
    if !is_who {
        return Err("it begins with neither an account, an @group nor a pattern");
    }
    if !directory.starts_with(b"/") && !directory.starts_with(b"%h") {
        return Err("the directory is not an absolute path");
    }
    Ok(Some((who.clone(), directory.clone())))
}

/// Whether a line is about this account.
fn fits(who: &[u8], target: &Target) -> Result<bool> {
    let Some(group) = who.strip_prefix(b"@") else {
        return Ok(matches(who, &target.account.name));
    };
    let identity = &target.identity;
    let group = groups::named(group)?.map(|group| group.id);
    Ok(group.is_some_and(|id| identity.group == id || identity.groups.contains(&id)))
}

/// Whether a name has the form of a pattern: `*` stands for any text, `?` for one byte.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => matches(rest, name),
        (Some((b'*', rest)), Some((_, after))) => matches(rest, name) || matches(pattern, after),
        (Some((b'?', rest)), Some((_, after))) => matches(rest, after),
        (Some((one, rest)), Some((other, after))) => one == other && matches(rest, after),
        _ => false,
    }
}

/// Why a directory has no meaning.
enum Expansion {
    /// A % is followed by an unknown letter.
    Unknown,
    /// The group has no name.
    Group(Refusal),
}

/// The directory of a line: `%u` is the account's name, `%g` that of its group, `%h` its home.
fn expand(directory: &[u8], target: &Target) -> Result<Option<Vec<u8>>, Expansion> {
    let account = &target.account;
    let mut path = Vec::new();
    let mut bytes = directory.iter();
    while let Some(byte) = bytes.next() {
        match (byte, if *byte == b'%' { bytes.next() } else { None }) {
            (b'%', Some(b'u')) => path.extend(&account.name),
            (b'%', Some(b'h')) => path.extend(account.home.as_os_str().as_bytes()),
            (b'%', Some(b'g')) => {
                let found = groups::of(target.identity.group).map_err(Expansion::Group)?;
                let group = found.ok_or_else(|| {
                    let id = target.identity.group;
                    Expansion::Group(Refusal::internal(format!("the group {id} has no name (%g)")))
                })?;
                path.extend(group.name);
            }
            (b'%', Some(b'%')) => path.push(b'%'),
            (b'%', _) => return Err(Expansion::Unknown),
            (byte, _) => path.push(*byte),
        }
    }
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_stars_and_question_marks() {
        for (pattern, name) in
            [("*", ""), ("*", "a"), ("a*", "abc"), ("a?c", "abc"), ("*b*", "abc")]
        {
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("a", "ab"), ("?", ""), ("a*", "ba"), ("a?", "a")] {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn a_line_names_accounts_and_a_directory() {
        assert_eq!(parse(b" # comment"), Ok(None));
        let words = |who: &str, directory: &str| Ok(Some((who.into(), directory.into())));
        assert_eq!(parse(b"job1 /srv/%u"), words("job1", "/srv/%u"));
        assert_eq!(parse(b"@grid \"/srv/a b\""), words("@grid", "/srv/a b"));
        assert_eq!(parse(b"* %h/root"), words("*", "%h/root"));
        for bad in ["job1", "job1 a", "job1 /a /b", "~job.* /a", "@ /a", "a:b /a", "\"\" /a"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let numbers: Vec<usize> =
            faults(b"a /b\n~x /y\n").into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [2]);
    }
}
