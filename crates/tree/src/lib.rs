//! Directory trees by directory descriptor: never a path of several components, never through a
//! link. Two calls are made for links' sake alone: the agent opens what one leads to with the job
//! user's rights, and the kernel is asked, beneath the top, whether one leaves; what it finds is
//! not used otherwise.
//!
//! - [`mod@send`] walks a tree and turns it into records;
//! - [`build`] makes a tree from records;
//! - [`mod@copy`] copies one within one user's;
//! - [`mod@remove`] deletes one;
//! - [`mod@measure`] tells what a copy of one needs;
//! - [`content`] copies a large file's content;
//! - [`links`] tells where symbolic links lead;
//! - `target` opens the file that a link leads to;
//! - `numbered` finds a file again for its further names;
//! - `guard` keeps those out that leave a tree;
//! - [`beside`] names what is made beside a sandbox, and sweeps what was left there;
//! - [`descent`] keeps the way from the top to where a walk is; [`names`] keeps many names.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

use std::ffi::OsString;

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Name};
use wire::Totals;

pub mod beside;
pub mod build;
pub mod content;
pub mod copy;
pub mod descent;
mod guard;
pub mod links;
pub mod measure;
pub mod names;
mod numbered;
pub mod remove;
pub mod send;
mod target;

pub use build::Builder;
pub use copy::copy;
pub use measure::measure;
pub use remove::{empty, remove, remove_with};
pub use send::{Way, send};

/// Who wants to know how far a transfer has come: called with what has been moved so far, after
/// every entry and every piece of a large one. It only looks on, and can't end it.
pub type Progress<'a> = &'a mut dyn FnMut(&Totals);

/// The deepest level of a tree that is walked or built.
pub const DEEPEST: usize = 4096;

/// Opens a subdirectory to walk it; one that its owner can't read or search is opened up first, if
/// it is the caller's.
pub fn open_dir(parent: &Dir, name: Name<'_>, path: impl Fn() -> OsString) -> Result<Dir> {
    open_dir_as_it_was(parent, name, path).map(|(dir, _)| dir)
}

/// As [`open_dir`], with the mode that it had if it was opened up.
fn open_dir_as_it_was(
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
    opened(result, path)
}

/// Says of a mount point that it is one.
fn opened<T>(result: sys::Result<T>, path: impl FnOnce() -> OsString) -> Result<T> {
    match result {
        Err(Errno::EXDEV) => Err(Error::refused(
            path(),
            "a mount point inside the sandbox is neither entered nor emptied",
        )),
        result => result.at_entry("open", path),
    }
}

/// None for a file that somebody removed, or replaced by another kind, since its name was read.
fn vanished<T>(found: Result<T>) -> Result<Option<T>> {
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

    use beside::Place;
    use sys::socket;
    use wire::{Channel, Links};

    use super::*;

    /// A tree with a small file, a large one and a directory.
    fn furnish(top: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(top.join("directory"))?;
        std::fs::write(top.join("directory/small"), "content")?;
        std::fs::write(top.join("large"), vec![b'x'; 3 << 20])
    }

    #[test]
    fn who_looks_on_sees_a_transfer_come_to_its_totals_on_both_sides() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        furnish(&from)?;
        let place = Place::find(&to)?;
        let (one, other) = socket::socketpair()?;
        let (mut sending, mut receiving) = (Channel::new(one), Channel::new(other));
        receiving.accept_passed(true);
        let (top, way) = (Dir::open(&from)?, (Way::BringBack(Links::Copy), place.device()?));
        let path = from.as_os_str();
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        let (totals, built) = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                send(top, path, None, way, &mut sending, &mut |totals: &Totals| sent.push(*totals))
            });
            let (name, top) = place.create_dir()?;
            let mut builder = Builder::new(top, &place, name.name(), Links::Copy)?;
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
