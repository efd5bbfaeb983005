//! Finding a file of a tree again that is being built, by a number.

use error::Result;
use sys::{self, Dir, Errno, Name, OwnedName, Rename};

use super::beside::Place;
use super::remove;

/// A directory beside the tree, in which files that may have further names have their numbers as
/// names: so each is found by a single component, whatever became of the directory that it is in.
/// It is made when it is first needed.
pub struct Numbered<'a> {
    place: &'a Place,
    made: Option<(OwnedName, Dir)>,
}

impl<'a> Numbered<'a> {
    /// Has no files yet.
    pub fn new(place: &'a Place) -> Self {
        Numbered { place, made: None }
    }

    /// Keeps the file `name` of the directory `here` under its number.
    pub fn keep(&mut self, here: &Dir, name: Name<'_>, number: u32) -> Result<sys::Result<()>> {
        let made = match self.made.take() {
            Some(made) => made,
            None => self.place.create_dir()?,
        };
        let (_, dir) = self.made.insert(made);
        Ok(match digits(number, &mut [0; 10]).and_then(|number| here.link(name, dir, number)) {
            // The file system has no such links: then no file of this tree had two names.
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::EXDEV | Errno::ENOSYS) => Ok(()),
            kept => kept,
        })
    }

    /// Where the symbolic link of this number points to; none for a file, or for a number that
    /// nothing has.
    pub fn target(&self, number: u32) -> Option<Vec<u8>> {
        let (_, dir) = self.made.as_ref()?;
        digits(number, &mut [0; 10]).and_then(|number| dir.read_link(number)).ok()
    }

    /// Gives the file of this number one more name, in the directory `here`. ENOENT if nothing has
    /// the number.
    pub fn link(&self, number: u32, here: &Dir, name: Name<'_>) -> sys::Result<()> {
        let (_, dir) = self.made.as_ref().ok_or(Errno::ENOENT)?;
        let mut room = [0; 10];
        let number = digits(number, &mut room)?;
        match dir.link(number, here, name) {
            // The file has as many names as it can have, and the numbered one is not to be the last
            // straw.
            Err(Errno::EMLINK) => dir.rename_into(number, here, name, Rename::NoReplace),
            linked => linked,
        }
    }

    /// Removes the directory.
    pub fn forget(&mut self) -> Result<()> {
        match self.made.take() {
            Some((name, _)) => remove(&self.place.parent, name.name(), &self.place.path),
            None => Ok(()),
        }
    }
}

impl Drop for Numbered<'_> {
    fn drop(&mut self) {
        // A tree that was given up: what remains is only a name beside it, which the next sweep
        // would find, too.
        let _ = self.forget();
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
