//! One component of a path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// The name of a directory entry: one component, never empty, `.` or `..`, without `/` and NUL, at
/// most 255 bytes.
///
/// The functions of [`super::Dir`] take one: so no path with several components, and no `..`, is
/// passed to the kernel, wherever the bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

/// The longest name of a directory entry (limits.h(0p)).
pub const NAME_MAX: usize = 255;

impl<'a> Name<'a> {
    /// None if the bytes are not a single component.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let single = !bytes.is_empty()
            && bytes.len() <= NAME_MAX
            && bytes != b"."
            && bytes != b".."
            && !bytes.iter().any(|byte| matches!(byte, b'/' | 0));
        single.then_some(Name(bytes))
    }

    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The bytes as a string of the operating system.
    pub fn os(self) -> &'a OsStr {
        OsStr::from_bytes(self.0)
    }
}

/// A [`Name`] that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedName(Vec<u8>);

impl OwnedName {
    /// None if the bytes are not a single component.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        Name::new(&bytes).is_some().then_some(OwnedName(bytes))
    }

    /// Replaces the name, without a new allocation where possible.
    pub fn set(&mut self, name: Name<'_>) {
        self.0.clear();
        self.0.extend_from_slice(name.0);
    }

    /// The borrowed name.
    pub fn name(&self) -> Name<'_> {
        Name(&self.0)
    }
}

impl From<Name<'_>> for OwnedName {
    fn from(name: Name<'_>) -> Self {
        OwnedName(name.0.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_name_is_a_single_component() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b", &[b'x'; 256]] {
            assert_eq!(Name::new(bad), None, "{bad:?}");
        }
        for good in [&b"a"[..], b"...", b"-x", b"a\nb", b"\xff", &[b'x'; 255]] {
            assert_eq!(Name::new(good).map(Name::bytes), Some(good));
        }
    }
}
