//! Directory trees by directory descriptor: each call of the kernel takes one name below an open
//! directory, never a path of several components, and follows no symbolic link. There are two
//! exceptions: the agent opens the file that a link leads to, with the job user's rights; and the
//! kernel tells whether a path below the top leaves the tree.
//!
//! - [`mod@send`] walks a tree and sends it as records;
//! - [`build`] makes a tree from records;
//! - [`mod@copy`] copies a tree of one user, with both of these in one process;
//! - [`mod@remove`] deletes a tree;
//! - [`mod@measure`] adds up what a copy of a tree needs; [`foreign_owner`] finds what is another
//!   user's;
//! - [`owner`] changes the owner of a tree, where that is possible, instead of copying it;
//! - [`links`] judges whether a symbolic link leaves its tree;
//! - `content` copies a large file's content;
//! - `place` is where a sandbox is; `temporary` names what is made beside it for a time, and
//!   removes what was left; `replace` replaces a file atomically;
//! - `walk` keeps the directories from the top to the current one open; `names` keeps many names.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

use std::ffi::OsString;

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Name};
use wire::Totals;

mod attributes;
pub mod build;
mod content;
pub mod copy;
mod foreign;
mod link_filter;
mod link_target;
pub mod links;
pub mod measure;
mod names;
pub mod owner;
mod place;
pub mod remove;
mod replace;
pub mod send;
mod temporary;
mod temporary_dir;
mod two_threads;
mod walk;

pub use attributes::{has_attributes, user_attributes};
pub use build::{Builder, Built};
pub use copy::copy;
pub use foreign::foreign_owner;
pub use measure::measure;
pub use names::Names;
pub use place::Place;
pub use remove::{empty, remove, remove_with};
pub use replace::{create, replace};
pub use send::{Transfer, send};
pub use temporary::sandbox_name;
pub use walk::Walk;

/// Called with what has been transferred so far, after every entry and every piece of a large file.
/// It cannot end the transfer.
pub type Progress<'a> = &'a mut dyn FnMut(&Totals);

/// The deepest level of a tree that is walked or built.
const MAX_DEPTH: usize = 4096;

/// Opens a subdirectory to walk it. If its mode denies its owner, the caller, reading or searching
/// it, the mode is changed first.
pub fn open_dir(parent: &Dir, name: Name<'_>, path: impl Fn() -> OsString) -> Result<Dir> {
    open_dir_and_mode(parent, name, path).map(|(dir, _)| dir)
}

/// As [`open_dir`], with the former mode if that was changed.
fn open_dir_and_mode(
    parent: &Dir,
    name: Name<'_>,
    path: impl Fn() -> OsString,
) -> Result<(Dir, Option<u32>)> {
    let result = match parent.open_dir(name) {
        Err(Errno::EACCES) => parent
            .add_mode(name, 0o700)
            .and_then(|mode| parent.open_dir(name).map(|dir| (dir, Some(mode)))),
        result => result.map(|dir| (dir, None)),
    };
    refuse_mount_point(result, path)
}

/// Makes the error of opening an entry name a mount point as such.
fn refuse_mount_point<T>(opened: sys::Result<T>, path: impl FnOnce() -> OsString) -> Result<T> {
    match opened {
        Err(Errno::EXDEV) => Err(Error::refused(
            path(),
            "a mount point inside the sandbox is neither entered nor emptied",
        )),
        opened => opened.at_entry("open", path),
    }
}

/// None if an entry does not exist any more, or is of another kind, since its name was read.
fn if_exists<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Err(Error::System {
            cause: Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO,
            ..
        }) => Ok(None),
        found => found.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sys::socket;
    use wire::{Channel, Links};

    use super::*;

    /// Makes a tree with a small file, a large one and a directory.
    fn make_tree(top: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(top.join("directory"))?;
        std::fs::write(top.join("directory/small"), "content")?;
        std::fs::write(top.join("large"), vec![b'x'; 3 << 20])
    }

    #[test]
    fn progress_reaches_the_totals_on_both_sides() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        make_tree(&from)?;
        let place = Place::find(&to)?;
        let (one, other) = socket::socketpair()?;
        let (mut sending, mut receiving) = (Channel::new(one), Channel::new(other));
        receiving.accept_passed(true);
        let top = Dir::open(&from)?;
        let transfer = (Transfer::Take(Links::Copy), place.device()?);
        let path = from.as_os_str();
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        let (totals, built) = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                send(top, path, None, transfer, &mut sending, &mut |totals: &Totals| {
                    sent.push(*totals)
                })
            });
            let (name, top) = place.create_dir()?;
            let mut builder = Builder::new(top, &place, name.name(), Links::Keep)?;
            let built =
                builder.receive(&mut receiving, &mut |totals: &Totals| received.push(*totals))?;
            let sent = sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
            anyhow::Ok((sent.0, built))
        })?;
        assert_eq!(built.totals, totals);
        for seen in [&sent, &received] {
            assert_eq!(seen.last(), Some(&totals));
            assert!(
                seen.is_sorted_by_key(|totals| (totals.files, totals.bytes, totals.passed)),
                "{seen:?}"
            );
        }
        assert_eq!((totals.files, totals.bytes, totals.passed), (2, 7, 3 << 20));
        Ok(())
    }
}
