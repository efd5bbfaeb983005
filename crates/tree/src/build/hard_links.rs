//! Further names of files of a tree that is being built.

use error::Result;
use sys::{self, Dir, Errno, Name, OwnedName, Rename};

use crate::{Place, remove};

/// A directory beside the tree, in which each file that may have further names has a number as its
/// name. So it is found by a single component, whatever happens to the directory of its first name.
/// The directory is made when it is first needed.
pub(super) struct HardLinks<'a> {
    place: &'a Place,
    directory: Option<(OwnedName, Dir)>,
}

impl<'a> HardLinks<'a> {
    /// For a tree at `place`, with no files yet.
    pub(super) fn new(place: &'a Place) -> Self {
        HardLinks { place, directory: None }
    }

    /// Adds the file `name` of the directory `here` under its number.
    pub(super) fn add(
        &mut self,
        here: &Dir,
        name: Name<'_>,
        number: u32,
    ) -> Result<sys::Result<()>> {
        let directory = match self.directory.take() {
            Some(directory) => directory,
            None => self.place.create_dir()?,
        };
        let (_, dir) = self.directory.insert(directory);
        Ok(match digits(number, &mut [0; 10]).and_then(|number| here.link(name, dir, number)) {
            // The file system has no hard links: then no file of this tree has two names.
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::EXDEV | Errno::ENOSYS) => Ok(()),
            added => added,
        })
    }

    /// The target of the symbolic link with this number. None if a regular file or no file has the
    /// number.
    pub(super) fn target(&self, number: u32) -> Option<Vec<u8>> {
        let (_, dir) = self.directory.as_ref()?;
        digits(number, &mut [0; 10]).and_then(|number| dir.read_link(number)).ok()
    }

    /// Gives the file with this number one more name, in the directory `here`. ENOENT if no file
    /// has the number.
    pub(super) fn link(&self, number: u32, here: &Dir, name: Name<'_>) -> sys::Result<()> {
        let (_, dir) = self.directory.as_ref().ok_or(Errno::ENOENT)?;
        let mut room = [0; 10];
        let number = digits(number, &mut room)?;
        match dir.link(number, here, name) {
            // The file has as many names as the file system allows: its number becomes this name.
            Err(Errno::EMLINK) => dir.rename_into(number, here, name, Rename::NoReplace),
            linked => linked,
        }
    }

    /// Removes the directory.
    pub(super) fn remove(&mut self) -> Result<()> {
        match self.directory.take() {
            Some((name, _)) => remove(&self.place.parent, name.name(), &self.place.path),
            None => Ok(()),
        }
    }
}

impl Drop for HardLinks<'_> {
    fn drop(&mut self) {
        // After a failure. What can't be removed has a temporary name, which the next sweep finds.
        let _ = self.remove();
    }
}

/// A number as a name of ten digits.
fn digits(number: u32, room: &mut [u8; 10]) -> sys::Result<Name<'_>> {
    let mut rest = number;
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    Name::new(room).ok_or(Errno::EINVAL)
}
