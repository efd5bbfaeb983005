//! The map: as which account a credential of the caller's is to run.
//!
//! Lines of `<calling user> [<prefix of the credential's path>] <account>`; the first that matches
//! counts. It chooses, and does not permit. It must be root's all the same, so that a mistake of
//! another user's does not choose.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use error::Shown;
use sys::file;

use super::refusal::{Refusal, Result};

/// A map that has been read, and whose owner and mode are right.
#[derive(Debug)]
pub struct Map {
    path: PathBuf,
    text: Vec<u8>,
}

/// What a line says.
enum Line<'a> {
    /// Nothing.
    Blank,
    /// That a user's credentials below a prefix stand for an account.
    Entry { user: &'a [u8], prefix: &'a [u8], account: &'a [u8] },
    /// Nothing that could be meant.
    Malformed,
}

impl Map {
    /// Reads the map.
    pub fn read(path: &Path) -> Result<Map> {
        let shown = Shown::os(path);
        if !path.is_absolute() {
            return Err(Refusal::internal(format!(
                "GLEXEC_SUDO_MAP must be an absolute path: {shown}"
            )));
        }
        let unreadable = |why: &dyn std::fmt::Display| {
            Refusal::internal(format!("the map is not a readable file: {shown}{why}"))
        };
        let failed = |error: std::io::Error| unreadable(&format_args!(" ({error})"));
        // Whatever lies there: the call does not wait for it.
        let opened = OpenOptions::new().read(true).custom_flags(file::NO_WAIT).open(path);
        let mut file = opened.map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(unreadable(&""));
        }
        if found.uid() != 0 {
            return Err(Refusal::internal(format!("the map does not belong to root: {shown}")));
        }
        if found.mode() & 0o022 != 0 {
            return Err(Refusal::internal(format!(
                "the map is writable by group or others: {shown}"
            )));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        Ok(Map { path: path.to_owned(), text })
    }

    /// The account for a user's credential, which has an absolute path. A path is compared by its
    /// names alone: whoever writes ".." into it chooses between accounts that sudoers allows
    /// anyway.
    pub fn account(&self, caller: &[u8], credential: &Path) -> Result<&[u8]> {
        let credential = credential.as_os_str().as_bytes();
        for (number, line) in (1_u32..).zip(self.text.split(|byte| *byte == b'\n')) {
            match line_of(line) {
                Line::Entry { user, prefix, account }
                    if user == caller && is_below(credential, prefix) =>
                {
                    return Ok(account);
                }
                Line::Entry { .. } | Line::Blank => {}
                Line::Malformed => {
                    return Err(Refusal::internal(format!(
                        "{}, line {number}: want <user> [/<prefix>] <account>",
                        Shown::os(&self.path)
                    )));
                }
            }
        }
        Err(Refusal::not_authorized(format!(
            "{} has no line for user {} and credential {}",
            Shown::os(&self.path),
            Shown(caller),
            Shown(credential)
        )))
    }
}

/// Reads a line: words separated by blanks, and a comment that begins with # at the beginning or
/// after a blank.
fn line_of(line: &[u8]) -> Line<'_> {
    let words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let words: Vec<&[u8]> = words.take_while(|word| !word.starts_with(b"#")).collect();
    let (user, prefix, account) = match words[..] {
        [] => return Line::Blank,
        [user, account] => (user, &b"/"[..], account),
        [user, prefix, account] => (user, prefix, account),
        _ => return Line::Malformed,
    };
    // sudo reads #N as a user id; names only, so that the map says what it means.
    let is_name =
        !account.starts_with(b"-") && !account.iter().any(|byte| matches!(byte, b'/' | b'#'));
    if !prefix.starts_with(b"/") || !is_name {
        return Line::Malformed;
    }
    Line::Entry { user, prefix, account }
}

/// Whether a path is a prefix, or below it: whole components match, so that /a/b is not above
/// /a/bc.
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    let end = prefix.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    path.strip_prefix(&prefix[..end]).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
