//! Directory trees by directory descriptor: never a path of several components, never through a link.
//!
//! - [`send`] walks a tree and turns it into records;
//! - [`build`] makes a tree from records;
//! - [`remove`] deletes one;
//! - [`beside`] names what is made beside a sandbox, and sweeps what was left there;
//! - [`descent`] keeps the way from the top to where a walk is.
#![forbid(unsafe_code)]

use crate::error::{Context as _, Error, Result};
use crate::sys::{Dir, Errno, Name};

pub mod beside;
pub mod build;
pub mod descent;
pub mod remove;
pub mod send;

pub use build::Builder;
pub use remove::remove;
pub use send::{Unreadable, send};

/// The deepest level of a tree that is walked or built.
pub const DEEPEST: usize = 4096;

/// Opens a subdirectory to walk it; one that its owner can't read or search is opened up first, if it is the caller's.
pub fn open_dir(parent: &Dir, name: Name<'_>, path: &std::ffi::OsStr) -> Result<Dir> {
    open_dir_as_it_was(parent, name, path).map(|(dir, _)| dir)
}

/// As [`open_dir`], with the mode that it had if it was opened up.
fn open_dir_as_it_was(parent: &Dir, name: Name<'_>, path: &std::ffi::OsStr) -> Result<(Dir, Option<u32>)> {
    let result = match parent.open_dir(name) {
        Err(Errno::EACCES) => {
            parent.widen(name, 0o700).and_then(|mode| parent.open_dir(name).map(|dir| (dir, Some(mode))))
        }
        result => result.map(|dir| (dir, None)),
    };
    opened(result, || path.to_os_string())
}

/// Says of a mount point that it is one.
fn opened<T>(result: crate::sys::Result<T>, path: impl FnOnce() -> std::ffi::OsString) -> Result<T> {
    match result {
        Err(Errno::EXDEV) => {
            Err(Error::refused(path(), "a mount point inside the sandbox is neither entered nor emptied"))
        }
        result => result.at_entry("open", path),
    }
}

/// None for a file that somebody removed, or replaced by another kind, since its name was read.
fn vanished<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Err(Error::System { cause: Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO, .. }) => Ok(None),
        found => found.map(Some),
    }
}
