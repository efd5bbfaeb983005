//! The lines of a configuration file: `key = value`, in the section `[glexec]` or before any
//! section. Lines of other sections are not read.
//!
//! A comment begins with `#` at the beginning of a line, or after a blank outside of quotes. A
//! value in double or single quotes keeps its blanks and `#`; the quotes do not belong to it, and
//! nothing in it is an escape.

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A key and its value, which may be empty.
    Setting {
        /// The key.
        key: &'a [u8],
        /// The value, without blanks and quotes around it.
        value: &'a [u8],
    },
    /// The header of a section that is not read.
    Ignored {
        /// Its name.
        section: &'a [u8],
    },
    /// Not a line of a configuration.
    Malformed {
        /// What is wrong.
        why: &'static str,
    },
}

/// The section that is read.
const SECTION: &[u8] = b"glexec";

/// The lines that say something, with their numbers from 1.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, Line<'_>)> {
    let mut is_read = true;
    (1..).zip(text.split(|byte| *byte == b'\n')).filter_map(move |(number, line)| {
        let line = line.trim_ascii();
        let said = match line.first() {
            None | Some(b'#') => None,
            Some(b'[') => header(line, &mut is_read),
            Some(_) if is_read => Some(setting(line)),
            Some(_) => None,
        };
        said.map(|said| (number, said))
    })
}

/// A header. It begins a section also if it is malformed: what follows a typing error is not read
/// as the keys of another section.
fn header<'a>(line: &'a [u8], is_read: &mut bool) -> Option<Line<'a>> {
    *is_read = false;
    let end = line.iter().position(|byte| *byte == b']');
    let Some((section, rest)) = end.map(|end| (line[1..end].trim_ascii(), &line[end + 1..])) else {
        return Some(Line::Malformed { why: "the header of a section has no ]" });
    };
    if !is_comment(rest) {
        return Some(Line::Malformed { why: "the header of a section is followed by other text" });
    }
    *is_read = section == SECTION;
    (!*is_read).then_some(Line::Ignored { section })
}

fn setting(line: &[u8]) -> Line<'_> {
    let Some(equals) = line.iter().position(|byte| *byte == b'=') else {
        return Line::Malformed { why: "it is not of the form: key = value" };
    };
    let (key, value) = (line[..equals].trim_ascii(), line[equals + 1..].trim_ascii());
    if key.is_empty() {
        return Line::Malformed { why: "there is no key before the =" };
    }
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Line::Malformed { why: "the value has a control character" };
    }
    let value = match value.first() {
        Some(quote @ (b'"' | b'\'')) => {
            let Some(end) = value[1..].iter().position(|byte| byte == quote) else {
                return Line::Malformed { why: "the value begins with a quote that does not end" };
            };
            if !is_comment(&value[end + 2..]) {
                return Line::Malformed { why: "the quoted value is followed by other text" };
            }
            &value[1..=end]
        }
        _ => without_comment(value),
    };
    Line::Setting { key, value }
}

/// Whether this is nothing, or blanks and a comment.
fn is_comment(rest: &[u8]) -> bool {
    matches!(rest.trim_ascii().first(), None | Some(b'#'))
}

fn without_comment(value: &[u8]) -> &[u8] {
    let blank = |byte: u8| byte == b' ' || byte == b'\t';
    let begins = |at: usize| value[at] == b'#' && (at == 0 || blank(value[at - 1]));
    let end = (0..value.len()).find(|at| begins(*at)).unwrap_or(value.len());
    value[..end].trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::{Line, lines};

    fn settings(text: &[u8]) -> Vec<(usize, Vec<u8>, Vec<u8>)> {
        let setting = |(number, line)| match line {
            Line::Setting { key, value } => Some((number, key.to_vec(), value.to_vec())),
            _ => None,
        };
        lines(text).filter_map(setting).collect()
    }

    fn value(line: &[u8]) -> Option<Vec<u8>> {
        let found = settings(line);
        found.first().map(|(_, _, value)| value.clone())
    }

    #[test]
    fn only_the_section_glexec_and_lines_before_any_section_are_read() {
        let text = b"linger = no\n[lcmaps]\nlinger = x\nany text\n[ glexec ] # ours\nlog_level=5\n\
            [glexec2]\nlinger=y\n[glexec]\nepilogue =\n";
        let expected: [(usize, &[u8], &[u8]); 3] =
            [(1, b"linger", b"no"), (6, b"log_level", b"5"), (10, b"epilogue", b"")];
        let expected = expected.map(|(number, key, value)| (number, key.to_vec(), value.to_vec()));
        assert_eq!(settings(text), expected);
        let ignored: Vec<_> = lines(text)
            .filter(|(_, line)| matches!(line, Line::Ignored { .. }))
            .map(|(number, _)| number)
            .collect();
        assert_eq!(ignored, [2, 7]);
    }

    #[test]
    fn comments_blanks_and_quotes_are_not_part_of_a_value() {
        for (line, expected) in [
            (&b"a = b # c"[..], &b"b"[..]),
            (b"\t a=b#c  ", b"b#c"),
            (b"a = # c", b""),
            (b"a = \" b # c \" # d", b" b # c "),
            (b"a = 'b\"c'", b"b\"c"),
            (b"a = \"\"", b""),
            (b"a = b = c", b"b = c"),
            (b"a = x\"y\"", b"x\"y\""),
        ] {
            assert_eq!(value(line).as_deref(), Some(expected), "{}", line.escape_ascii());
        }
        assert_eq!(value(b"# a = b"), None);
        assert_eq!(value(b"   \t"), None);
    }

    #[test]
    fn a_line_that_is_not_understood_is_malformed() {
        for line in [
            &b"linger"[..],
            b"= yes",
            b"a = \"b",
            b"a = 'b' c",
            b"a = b\x1bc",
            b"a = b\0",
            b"a = \"\r\"",
            b"[glexec",
            b"[glexec] linger = no",
        ] {
            let found: Vec<_> = lines(line).collect();
            assert!(matches!(found[..], [(1, Line::Malformed { .. })]), "{found:?}");
        }
        assert_eq!(settings(b"[glexec\nlinger = no"), [], "it may be the key of another section");
    }

    #[test]
    fn a_line_of_a_mebibyte_is_one_value() {
        let line = [b"a = ", &[b'x'; 1 << 20][..]].concat();
        assert_eq!(value(&line).map(|value| value.len()), Some(1 << 20));
        assert_eq!(settings(&[b'='; 1 << 20]), []);
        assert_eq!(settings(&[b'\n'; 1 << 20]), []);
    }
}
