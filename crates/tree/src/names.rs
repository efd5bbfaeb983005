//! Many names, without an allocation for each.

use sys::Name;

/// A stack of names: the bytes of each, and then their number in one byte.
#[derive(Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    len: usize,
}

impl Names {
    /// Puts a name on top.
    pub fn push(&mut self, name: Name<'_>) {
        self.bytes.extend_from_slice(name.bytes());
        // A name has at most 255 bytes.
        self.bytes.push(name.bytes().len() as u8);
        self.len += 1;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The name on top.
    pub fn last(&self) -> Option<Name<'_>> {
        let (length, bytes) = self.bytes.split_last()?;
        Name::new(&bytes[bytes.len() - usize::from(*length)..])
    }

    /// Removes the name on top.
    pub fn pop(&mut self) {
        if let Some(length) = self.bytes.last() {
            self.bytes.truncate(self.bytes.len() - 1 - usize::from(*length));
            self.len -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_pushed_last_is_on_top() {
        let mut names = Names::default();
        let longest = [b'x'; 255];
        for bytes in [&b"a"[..], &longest, b"-\n\xff"] {
            names.push(Name::new(bytes).unwrap_or_else(|| panic!("{bytes:?}")));
        }
        for bytes in [&b"-\n\xff"[..], &longest, b"a"] {
            assert_eq!(names.last().map(Name::bytes), Some(bytes));
            names.pop();
        }
        assert_eq!((names.last(), names.len()), (None, 0));
    }
}
