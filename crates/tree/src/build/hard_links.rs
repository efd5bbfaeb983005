//! Further names of files of a tree that is being built.

use error::Result;
use sys::{self, Dir, Errno, Name, Rename};

use crate::Place;
use crate::temporary_dir::{Digits, TemporaryDir};

/// A directory beside the tree, in which each file that may have further names has a number as its
/// name. So it is found by a single component, whatever happens to the directory of its first name.
pub(super) struct HardLinks<'a>(TemporaryDir<'a>);

impl<'a> HardLinks<'a> {
    /// For a tree at `place`, with no files yet.
    pub(super) fn new(place: &'a Place) -> Self {
        HardLinks(TemporaryDir::new(place))
    }

    /// Adds the file `name` of the directory `here` under its number.
    pub(super) fn add(
        &mut self,
        here: &Dir,
        name: Name<'_>,
        number: u32,
    ) -> Result<sys::Result<()>> {
        let dir = self.0.make()?;
        Ok(match Digits::of(number).name().and_then(|number| here.link(name, dir, number)) {
            // The file system has no hard links: then no file of this tree has two names.
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::EXDEV | Errno::ENOSYS) => Ok(()),
            added => added,
        })
    }

    /// The target of the symbolic link with this number. None if a regular file or no file has the
    /// number.
    pub(super) fn target(&self, number: u32) -> Option<Vec<u8>> {
        let dir = self.0.made()?;
        Digits::of(number).name().and_then(|number| dir.read_link(number)).ok()
    }

    /// Gives the file with this number one more name, in the directory `here`. ENOENT if no file
    /// has the number.
    pub(super) fn link(&self, number: u32, here: &Dir, name: Name<'_>) -> sys::Result<()> {
        let dir = self.0.made().ok_or(Errno::ENOENT)?;
        let digits = Digits::of(number);
        let number = digits.name()?;
        match dir.link(number, here, name) {
            // The file has as many names as the file system allows: its number becomes this name.
            Err(Errno::EMLINK) => dir.rename_into(number, here, name, Rename::NoReplace),
            linked => linked,
        }
    }

    /// Removes the directory.
    pub(super) fn remove(&mut self) -> Result<()> {
        self.0.remove()
    }
}
