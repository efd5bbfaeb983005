//! The V2-raw syntax of a job's environment (the "new" environment syntax of HTCondor, without the
//! outer quotes).
//!
//! Entries are separated by runs of space, tab, newline and carriage return. A single quote opens
//! and closes a quoted part, in which separators are literal and `''` is one quote; quoted and bare
//! parts join. Other bytes are literal.

use std::fmt;

/// Why a text is not a valid environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// A quoted part is not closed.
    UnbalancedQuote,
    /// An entry has no `=`.
    NoEquals(Vec<u8>),
    /// An entry has nothing before its `=`.
    NoName(Vec<u8>),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The message must be short, and the value of a variable may be secret: only the beginning
        // of the entry is shown.
        let shown = |entry: &[u8]| error::Shown(&entry[..entry.len().min(60)]).to_string();
        match self {
            Invalid::UnbalancedQuote => write!(f, "a single quote is not closed"),
            Invalid::NoEquals(entry) => write!(f, "the entry {} has no '='", shown(entry)),
            Invalid::NoName(_) => write!(f, "an entry has no name before its '='"),
        }
    }
}

impl std::error::Error for Invalid {}

/// Splits a text into entries `NAME=VALUE`, and removes the quotes.
///
/// An entry without `=` that holds `$$` (a macro that the batch system has not expanded) is kept as
/// it is. Any other entry without `=` is an error, and so is one without a name.
pub fn entries(text: &[u8]) -> Result<Vec<Vec<u8>>, Invalid> {
    let mut entries = Vec::new();
    let mut rest = text;
    loop {
        let Some(start) = rest.iter().position(|byte| !is_separator(*byte)) else {
            return Ok(entries);
        };
        rest = &rest[start..];
        let entry = take_entry(&mut rest)?;
        match entry.iter().position(|byte| *byte == b'=') {
            Some(0) => return Err(Invalid::NoName(entry)),
            None if !entry.windows(2).any(|pair| pair == b"$$") => {
                return Err(Invalid::NoEquals(entry));
            }
            _ => entries.push(entry),
        }
    }
}

/// Writes entries `NAME=VALUE`, of any bytes but NUL, as a text that [`entries`] splits into the
/// same entries.
pub fn text(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::new();
    for entry in entries {
        text.extend_from_slice(if text.is_empty() { b"'" } else { b" '" });
        for byte in entry {
            text.extend_from_slice(if *byte == b'\'' { b"''" } else { std::slice::from_ref(byte) });
        }
        text.push(b'\'');
    }
    text
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Takes one entry from the front of `rest`, which starts with one.
fn take_entry(rest: &mut &[u8]) -> Result<Vec<u8>, Invalid> {
    let mut entry = Vec::new();
    let mut quoted = false;
    let mut at = 0;
    while let Some(&byte) = rest.get(at) {
        at += 1;
        match byte {
            b'\'' if quoted && rest.get(at) == Some(&b'\'') => {
                entry.push(b'\'');
                at += 1;
            }
            b'\'' => quoted = !quoted,
            _ if !quoted && is_separator(byte) => break,
            _ => entry.push(byte),
        }
    }
    *rest = &rest[at..];
    if quoted { Err(Invalid::UnbalancedQuote) } else { Ok(entry) }
}

#[cfg(test)]
mod tests {
    use super::{Invalid, entries};

    fn parsed(text: &[u8]) -> Vec<Vec<u8>> {
        entries(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn entries_are_separated_by_runs_of_white_space() {
        assert_eq!(parsed(b" A=1\t\r\n B=2  "), [b"A=1", b"B=2"]);
        assert!(parsed(b"").is_empty());
        assert!(parsed(b" \n").is_empty());
    }

    #[test]
    fn quoted_and_bare_parts_join() {
        assert_eq!(parsed(b"A='x y'z'\n' 'B=it''s' C="), [&b"A=x yz\n"[..], b"B=it's", b"C="]);
        assert_eq!(parsed(b"A='' B=''''"), [&b"A="[..], b"B='"]);
    }

    #[test]
    fn other_bytes_are_literal() {
        assert_eq!(parsed(b"A=\xff\"\\$(x);\x0b=="), [&b"A=\xff\"\\$(x);\x0b=="[..]]);
    }

    #[test]
    fn an_entry_without_equals_passes_only_as_an_unfilled_macro() {
        assert_eq!(parsed(b"$$(OPSYS)"), [b"$$(OPSYS)"]);
        assert_eq!(entries(b"A=1 PATH"), Err(Invalid::NoEquals(b"PATH".to_vec())));
        assert_eq!(entries(b"''"), Err(Invalid::NoEquals(Vec::new())));
        assert_eq!(entries(b"=x"), Err(Invalid::NoName(b"=x".to_vec())));
    }

    /// Texts as starters send them, in `testdata/v2`: NAME.v2, and what it is read as:
    /// NAME.environ, with one entry in each line, or NAME.error.
    #[test]
    fn the_samples_are_read_as_a_starter_means_them() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/v2");
        let read = |path: &std::path::Path| {
            std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
        };
        let mut samples = 0;
        for entry in std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{folder:?}: {error}"))
            .flatten()
        {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "v2") {
                samples += 1;
                match entries(&read(&path)) {
                    Ok(parsed) => assert_eq!(
                        parsed.join(&b'\n'),
                        read(&path.with_extension("environ")),
                        "{path:?}"
                    ),
                    Err(error) => {
                        let expected =
                            String::from_utf8_lossy(&read(&path.with_extension("error")))
                                .into_owned();
                        assert_eq!(error.to_string(), expected.trim_end(), "{path:?}");
                    }
                }
            }
        }
        assert!(samples >= 6, "{samples} samples");
    }

    #[test]
    fn an_unbalanced_quote_is_an_error() {
        for text in [&b"A='"[..], b"A='x B=2", b"'''"] {
            assert_eq!(entries(text), Err(Invalid::UnbalancedQuote), "{text:?}");
        }
    }
}
