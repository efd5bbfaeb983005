//! The map: the account that a credential of the caller's maps to.
//!
//! Its lines are `<calling user> [<prefix of the credential's path>] <account>`; the first that
//! matches counts. It permits nothing. It must belong to root all the same, so that no other user's
//! mistake selects an account.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::file;

/// A map that has been read, and whose owner and mode are right.
#[derive(Debug)]
pub(crate) struct Map {
    path: PathBuf,
    text: Vec<u8>,
}

/// A line of the map.
enum Line<'a> {
    /// Blank, or a comment.
    Blank,
    /// A user's credentials below a prefix map to an account.
    Entry { user: &'a [u8], prefix: &'a [u8], account: &'a [u8] },
    /// Anything else.
    Malformed,
}

impl Map {
    /// Reads the map.
    pub(crate) fn read(path: &Path) -> Result<Map> {
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
        // A FIFO is not waited for.
        let opened = OpenOptions::new().read(true).custom_flags(file::NONBLOCK).open(path);
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

    /// The account for a user's credential, which has an absolute path. Paths are compared by their
    /// names alone: a caller that writes ".." into its path can only select accounts that sudoers
    /// allows it anyway.
    pub(crate) fn account(&self, caller: &[u8], credential: &Path) -> Result<&[u8]> {
        let credential = credential.as_os_str().as_bytes();
        for (number, line) in (1_u32..).zip(self.text.split(|byte| *byte == b'\n')) {
            match parse_line(line) {
                Line::Entry { user, prefix, account }
                    if user == caller && is_below(credential, prefix) =>
                {
                    return Ok(account);
                }
                Line::Entry { .. } | Line::Blank => {}
                Line::Malformed => {
                    return Err(Refusal::internal(format!(
                        "{}, line {number}: not of the form <user> [/<prefix>] <account>",
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

/// Parses a line: words separated by blanks, and a comment from a # at the beginning or after a
/// blank.
fn parse_line(line: &[u8]) -> Line<'_> {
    let words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let words: Vec<&[u8]> = words.take_while(|word| !word.starts_with(b"#")).collect();
    let (user, prefix, account) = match words[..] {
        [] => return Line::Blank,
        [user, account] => (user, &b"/"[..], account),
        [user, prefix, account] => (user, prefix, account),
        _ => return Line::Malformed,
    };
    // sudo takes #N for a user id; the map has names only.
    let is_name =
        !account.starts_with(b"-") && !account.iter().any(|byte| matches!(byte, b'/' | b'#'));
    if !prefix.starts_with(b"/") || !is_name {
        return Line::Malformed;
    }
    Line::Entry { user, prefix, account }
}

/// Whether a path is a prefix, or below it, by whole components: /a/bc is not below /a/b.
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    let end = prefix.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    path.strip_prefix(&prefix[..end]).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
