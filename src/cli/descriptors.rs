//! The limit of open files.

use anyhow::{Context as _, bail};

/// A walk of two directory trees and a conversation with the agent need at least this many
/// descriptors. With fewer, a copy would fail halfway, and there would be no descriptor left to
/// remove it.
const MIN_DESCRIPTORS: u64 = 32;

/// Raises the soft limit of open files to the hard limit, and returns the soft limit from before.
/// It is an error if the hard limit is too low.
pub fn raise_limit() -> anyhow::Result<u64> {
    let before = sys::rlimit::raise_nofile().context("cannot raise the limit of open files")?;
    let limit = sys::rlimit::nofile().context("cannot read the limit of open files")?;
    if limit < MIN_DESCRIPTORS {
        bail!(
            "the hard limit of open files is {limit}, but {MIN_DESCRIPTORS} are needed: \
             raise it (ulimit -Hn)"
        );
    }
    Ok(before)
}
