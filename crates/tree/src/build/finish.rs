//! The last steps for a file or directory that is complete.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;

use error::{Context as _, Result};
use sys::{self, Dir, Errno, file};
use wire::Attributes;

/// Sets a file's length, its mode (a write would clear bits of it) and its time (a write would
/// change it).
pub(crate) fn file(file: File, written: u64, size: u64, attributes: Attributes) -> sys::Result<()> {
    if size < written {
        return Err(Errno::EPROTO);
    }
    if size > written {
        file.set_len(size).map_err(|error| sys::errno(&error))?;
    }
    if attributes.mode != 0o600 {
        file::set_mode(&file, attributes.mode)?;
    }
    file::set_modified(&file, attributes.modified)?;
    sys::fd::close(OwnedFd::from(file))
}

/// Sets a directory's time, which every new entry has changed, and its mode, with `owner_bits`. The
/// mode comes last: at the top of a tree that comes back it tells that the tree is complete.
pub(super) fn directory(
    dir: &Dir,
    path: &OsStr,
    attributes: Attributes,
    owner_bits: u32,
) -> Result<()> {
    dir.set_modified(attributes.modified).at("set the time of", path)?;
    dir.set_mode(attributes.mode | owner_bits).at("set the mode of", path)
}
