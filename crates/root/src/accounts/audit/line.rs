//! The form of a line: one JSON object (RFC 8259) of printable ASCII characters, of limited length.
//!
//! A text is first made one line as in messages ([`Shown`]: `\n`, `\u{1b}`, `\xff`), which loses no
//! byte, and then a string of JSON, in which every other character than printable ASCII is \uXXXX.

use std::fmt::{Display, Write as _};
use std::path::Path;
use std::time::Duration;

use command::utc;
use error::Shown;
use sys::process;

/// The most bytes of one text, as it is written. With it no line is longer than a packet for the
/// system log.
const LONGEST: usize = 1000;

/// A line that is written.
#[derive(Debug)]
pub(super) struct Line(String);

impl Line {
    /// The beginning: the time, the name of the event, and the process that writes.
    pub(super) fn new(event: &str, time: Duration) -> Line {
        let mut line = Line(String::from("{"));
        line.time("time", time).text("event", event.as_bytes());
        line.number("pid", process::getpid().as_raw().into());
        line
    }

    /// Adds a text of any bytes. Of a text that is too long only the beginning is written, and
    /// `[...]`.
    pub(super) fn text(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        let text = string(&Shown(bytes).to_string());
        self.member(name, text)
    }

    /// Adds a path.
    pub(super) fn path(&mut self, name: &str, path: &Path) -> &mut Self {
        self.text(name, path.as_os_str().as_encoded_bytes())
    }

    /// Adds a time, which is since 1970.
    pub(super) fn time(&mut self, name: &str, time: Duration) -> &mut Self {
        self.text(name, utc::with_milliseconds(time).as_bytes())
    }

    /// Adds a number.
    pub(super) fn number(&mut self, name: &str, number: i64) -> &mut Self {
        self.member(name, number)
    }

    /// Adds `true` or `false`.
    pub(super) fn boolean(&mut self, name: &str, value: bool) -> &mut Self {
        self.member(name, value)
    }

    /// The whole line, without a newline.
    pub(super) fn finish(self) -> String {
        self.0 + "}"
    }

    fn member(&mut self, name: &str, value: impl Display) -> &mut Self {
        let comma = if self.0.len() > 1 { "," } else { "" };
        let _ = write!(self.0, "{comma}\"{name}\":{value}");
        self
    }
}

/// A string of JSON, of printable ASCII characters and limited length.
fn string(text: &str) -> String {
    let mut string = String::from("\"");
    for c in text.chars() {
        if string.len() > LONGEST {
            string.push_str("[...]");
            break;
        }
        match c {
            '"' | '\\' => {
                string.push('\\');
                string.push(c);
            }
            ' '..='~' => string.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(string, "\\u{unit:04x}");
                }
            }
        }
    }
    string.push('"');
    string
}

#[cfg(test)]
mod tests {
    use super::string;

    #[test]
    fn a_string_has_printable_ascii_characters_only() {
        assert_eq!(string("a\"b\\c é😀\u{202e}"), r#""a\"b\\c \u00e9\ud83d\ude00\u202e""#);
        assert_eq!(string("\u{7f}\n"), r#""\u007f\u000a""#);
        assert!(string(&"é".repeat(9000)).ends_with("[...]\""));
    }
}
