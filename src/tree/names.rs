//! Many names, without an allocation for each.

use crate::sys::Name;

/// A stack of names: the bytes of each, and then their number in one byte.
#[derive(Debug, Default)]
pub struct Names(Vec<u8>);

impl Names {
    /// Puts a name on top.
    pub fn push(&mut self, name: Name<'_>) {
        self.0.extend_from_slice(name.bytes());
        // A name has at most 255 bytes.
        self.0.push(name.bytes().len() as u8);
    }

    /// The name on top.
    pub fn last(&self) -> Option<Name<'_>> {
        let (length, bytes) = self.0.split_last()?;
        Name::new(&bytes[bytes.len() - usize::from(*length)..])
    }

    /// Takes the name on top away.
    pub fn pop(&mut self) {
        if let Some(length) = self.0.last() {
            self.0.truncate(self.0.len() - 1 - usize::from(*length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_name_comes_first() {
        let mut names = Names::default();
        let longest = [b'x'; 255];
        for bytes in [&b"a"[..], &longest, b"-\n\xff"] {
            names.push(Name::new(bytes).unwrap_or_else(|| panic!("{bytes:?}")));
        }
        for bytes in [&b"-\n\xff"[..], &longest, b"a"] {
            assert_eq!(names.last().map(Name::bytes), Some(bytes));
            names.pop();
        }
        assert_eq!(names.last(), None);
    }
}
