//! Bytes as one line of text.

use std::fmt::{self, Display, Formatter, Write as _};
use std::os::unix::ffi::OsStrExt as _;

/// Displays any bytes on one line: UTF-8 unchanged, except that control characters and the
/// backslash are escaped (`\n`, `\\`, `\u{1b}`); other bytes as `\xff`. So the text cannot start a
/// new line in a log, or send control sequences to a terminal.
pub struct Shown<'a>(pub &'a [u8]);

impl<'a> Shown<'a> {
    /// Shows a path or another string of the operating system.
    pub fn os<T: AsRef<std::ffi::OsStr> + ?Sized>(text: &'a T) -> Self {
        Shown(text.as_ref().as_bytes())
    }
}

/// Displays a path in a message: on one line; of a very long path only both ends, so that the
/// reader finds what follows.
pub(crate) struct ShownPath<'a>(pub(crate) &'a [u8]);

impl Display for ShownPath<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const END: usize = 300;
        match self.0 {
            long if long.len() > 3 * END => {
                write!(f, "{}[...]{}", Shown(&long[..END]), Shown(&long[long.len() - END..]))
            }
            path => Shown(path).fmt(f),
        }
    }
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || c == '\\' {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    f.write_char(c)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Shown;

    #[test]
    fn text_stays_on_one_line_and_loses_no_byte() {
        assert_eq!(Shown(b"a b'\n\x1b\\\xff\xc3\xa9").to_string(), "a b'\\n\\u{1b}\\\\\\xff\u{e9}");
    }
}
