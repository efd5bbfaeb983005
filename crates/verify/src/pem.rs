//! The parts of a text in PEM (RFC 7468).

use crate::refusal::{Refusal, Result};

/// A part, such as a certificate or a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// What its first line says that it is.
    pub label: &'a str,
    /// All of it, with its first and last line.
    pub text: &'a [u8],
}

/// All parts of a text. Text outside of the parts is ignored, as the RFC allows.
pub fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>> {
    let mut found = Vec::new();
    // The label and the place of a part whose end is not read yet.
    let mut open: Option<(&str, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let begins = at;
        at += line.len();
        let line = line.trim_ascii_end();
        match (label(line, "-----BEGIN "), label(line, "-----END "), open) {
            (Some(label), _, None) => open = Some((label, begins)),
            (_, Some(end), Some((label, begins))) if end == label => {
                found.push(Block { label, text: &text[begins..at] });
                open = None;
            }
            (None, None, _) => {}
            _ => return Err(Refusal::credential("the credential's BEGIN and END lines differ")),
        }
    }
    match open {
        Some((label, _)) => Err(Refusal::credential(format!(
            "the credential is truncated: its last {} has no END line",
            label.to_lowercase()
        ))),
        None => Ok(found),
    }
}

/// The label in a line that begins with these words, and ends with five hyphens.
fn label<'a>(line: &'a [u8], words: &str) -> Option<&'a str> {
    let label = line.strip_prefix(words.as_bytes())?.strip_suffix(b"-----")?;
    std::str::from_utf8(label).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_between_other_text() {
        let text = b"x\n-----BEGIN A B-----\r\nMA==\r\n-----END A B-----\r\ny\n-----BEGIN C-----\n\
            -----END C-----";
        let found = blocks(text).map(|all| all.iter().map(|b| b.label).collect::<Vec<_>>());
        assert_eq!(found, Ok(vec!["A B", "C"]));
        let second = blocks(text).map(|mut all| all.pop().map(|b| b.text));
        assert_eq!(second, Ok(Some(&b"-----BEGIN C-----\n-----END C-----"[..])));
        assert_eq!(blocks(b"noise \xff \0"), Ok(Vec::new()));
    }

    #[test]
    fn lines_that_do_not_match_are_refused() {
        for text in [
            "-----BEGIN A-----\n",
            "-----BEGIN A-----\n-----END B-----\n",
            "-----END A-----\n",
            "-----BEGIN A-----\n-----BEGIN A-----\n-----END A-----\n",
        ] {
            assert!(blocks(text.as_bytes()).is_err(), "{text}");
        }
    }
}
