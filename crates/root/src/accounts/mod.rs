//! Accounts on lease, for the account daemon: who may ask for them, which there are, and which
//! client has which one until when.
//!
//! What root writes:
//!
//! - [`clients`]: the users that may connect to the daemon;
//! - [`list`]: the accounts, and who owns which;
//! - [`list_file`]: such a file, which is read again when it has changed;
//! - [`resolve`]: the accounts of the list as this machine has them now;
//! - [`edit`]: changes of the list, each atomic.
//!
//! What is told of it:
//!
//! - [`audit`]: who had which account when.

pub mod audit;
pub mod clients;
pub mod edit;
pub mod list;
pub mod list_file;
pub mod resolve;

use std::fmt;
use std::path::{Path, PathBuf};

use error::Shown;

/// The largest list, in bytes.
pub const LONGEST: u64 = 1 << 20;

/// The most entries of a list.
pub const MOST: usize = 100_000;

/// A line that is not understood. `Display` gives one line: file, line, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The file.
    pub path: PathBuf,
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub why: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: {}", Shown::os(&self.path), self.line, self.why)
    }
}

impl std::error::Error for BadLine {}

/// What is wrong with a line.
pub(crate) type Wrong = String;

/// Reads each line by `parse`, which returns nothing for a blank line or a comment, and refuses the
/// second of two entries that `same` calls the same by returning the line of the first.
pub(crate) fn each_line<T>(
    text: &[u8],
    path: &Path,
    mut parse: impl FnMut(&[u8], usize) -> Result<Option<T>, Wrong>,
) -> Result<Vec<T>, BadLine> {
    let mut entries = Vec::new();
    for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let bad = |why: Wrong| BadLine { path: path.to_owned(), line, why };
        entries.extend(parse(bytes, line).map_err(bad)?);
        if entries.len() > MOST {
            return Err(bad(format!("there are more than {MOST} entries")));
        }
    }
    Ok(entries)
}
