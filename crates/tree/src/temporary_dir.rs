//! A directory with a temporary name beside a tree, for what the tree needs while it is made.

use error::Result;
use sys::{Dir, Name, OwnedName};

use super::{Place, remove};

/// Made when it is first needed, 0700, and removed in the end. What can't be removed then is found
/// by the next sweep.
pub(crate) struct TemporaryDir<'a> {
    place: &'a Place,
    made: Option<(OwnedName, Dir)>,
}

impl<'a> TemporaryDir<'a> {
    /// For a tree at `place`.
    pub(crate) fn new(place: &'a Place) -> Self {
        TemporaryDir { place, made: None }
    }

    /// The directory; it is made now, if it was not needed before.
    pub(crate) fn make(&mut self) -> Result<&Dir> {
        let made = match self.made.take() {
            Some(made) => made,
            None => self.place.create_dir()?,
        };
        Ok(&self.made.insert(made).1)
    }

    /// The directory, if it was needed.
    pub(crate) fn made(&self) -> Option<&Dir> {
        self.made.as_ref().map(|(_, dir)| dir)
    }

    /// Removes it.
    pub(crate) fn remove(&mut self) -> Result<()> {
        match self.made.take() {
            Some((name, _)) => remove(&self.place.parent, name.name(), &self.place.path),
            None => Ok(()),
        }
    }
}

impl Drop for TemporaryDir<'_> {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

/// A number as a name, of ten digits.
pub(crate) struct Digits([u8; 10]);

impl Digits {
    /// The digits of a number.
    pub(crate) fn of(number: u32) -> Self {
        let mut digits = [b'0'; 10];
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Digits(digits)
    }

    /// Whether a name consists of the digits of a number.
    pub(crate) fn are(name: &[u8]) -> bool {
        name.len() == 10 && name.iter().all(u8::is_ascii_digit)
    }

    /// The name.
    pub(crate) fn name(&self) -> sys::Result<Name<'_>> {
        Name::new(&self.0).ok_or(sys::Errno::EINVAL)
    }
}
