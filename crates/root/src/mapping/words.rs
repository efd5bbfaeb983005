//! The words of a line of a map. Blanks separate them. A word in double quotes keeps its blanks; in
//! it, `\"` and `\\` stand for one character, and `\x41` for the byte with that hexadecimal number.
//! A comment begins with `#` at the beginning of a word.

/// The words of a line, and whether each was quoted; none if a quote does not end, stands within a
/// word, or has another escape in it.
pub(crate) fn words(line: &[u8]) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii();
    while let Some(first) = rest.first() {
        let (word, after) = match first {
            b'#' => break,
            b'"' => quoted(&rest[1..])?,
            _ => plain(rest)?,
        };
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Some(words)
}

/// A word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: Vec<u8>,
    pub(crate) is_quoted: bool,
}

/// The word up to the next blank, and the rest.
fn plain(rest: &[u8]) -> Option<(Word, &[u8])> {
    let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    let (text, after) = rest.split_at(end);
    (!text.contains(&b'"') && !text.contains(&0))
        .then(|| (Word { text: text.to_vec(), is_quoted: false }, after))
}

/// The word up to the quote that ends it, after which there is a blank or nothing, and the rest.
fn quoted(mut rest: &[u8]) -> Option<(Word, &[u8])> {
    let mut text = Vec::new();
    loop {
        let (first, after) = rest.split_first()?;
        rest = match first {
            b'"' => break rest = after,
            b'\\' => {
                let (byte, after) = escape(after)?;
                text.push(byte);
                after
            }
            byte => {
                text.push(*byte);
                after
            }
        };
    }
    let is_end = rest.first().is_none_or(u8::is_ascii_whitespace);
    (is_end && !text.contains(&0)).then_some((Word { text, is_quoted: true }, rest))
}

/// The byte that an escape stands for, and the rest.
fn escape(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (first, after) = rest.split_first()?;
    match first {
        b'"' | b'\\' => Some((*first, after)),
        b'x' | b'X' => {
            let (digits, after) = after.split_at_checked(2)?;
            let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
            let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            Some((byte, after))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    fn texts(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        words(line).map(|words| words.into_iter().map(|word| word.text).collect())
    }

    fn same(line: &[u8], expected: &[&[u8]]) {
        let expected = expected.iter().map(|word| word.to_vec()).collect();
        assert_eq!(texts(line), Some(expected), "{}", line.escape_ascii());
    }

    #[test]
    fn blanks_separate_words_unless_they_are_quoted() {
        same(b"\"/O=a/CN=b c\"\t.pool, x  ", &[b"/O=a/CN=b c", b".pool,", b"x"]);
        same(b"  # comment", &[]);
        same(b"a#b c # d \"", &[b"a#b", b"c"]);
        same(b"\"\" \"#\"", &[b"", b"#"]);
        same(b"dom\\user", &[b"dom\\user"]);
        assert!(words(b"\"a\" b").is_some_and(|words| words[0].is_quoted && !words[1].is_quoted));
    }

    #[test]
    fn escapes_are_those_of_a_grid_mapfile() {
        same(br#""/CN=a \"b\" \\ \x41\x0a\XfF""#, &[b"/CN=a \"b\" \\ A\n\xff"]);
    }

    #[test]
    fn a_line_that_is_not_understood_has_no_words() {
        for line in [
            &b"\"a"[..],
            b"\"a\\",
            b"\"a\\n\"",
            b"\"a\\x4\"",
            b"\"a\\x+1\"",
            b"\"a\\x00\"",
            b"a\0b",
            b"\"a\"b",
            b"a\"b\"",
        ] {
            assert_eq!(texts(line), None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_line_of_a_mebibyte_is_read() {
        let long = [b'a'; 1 << 20];
        same(&long, &[&long]);
        assert_eq!(texts(&[b'"'; 1 << 20]), None);
        assert_eq!(texts(&[b' '; 1 << 20]), Some(vec![]));
        assert_eq!(texts(&b"a ".repeat(1 << 19)).map(|words| words.len()), Some(1 << 19));
    }

    #[test]
    fn whatever_bytes_are_quoted_are_read_again() {
        for _ in 0..2000 {
            let text: Vec<u8> = (0..fastrand::usize(..40)).map(|_| fastrand::u8(1..)).collect();
            let escaped = |byte: &u8| match byte {
                b'"' | b'\\' => vec![b'\\', *byte],
                b'\n' => b"\\x0a".to_vec(),
                byte if fastrand::bool() => format!("\\x{byte:02X}").into_bytes(),
                byte => vec![*byte],
            };
            let quoted: Vec<u8> = text.iter().flat_map(escaped).collect();
            same(&[b"\"", &quoted[..], b"\" x"].concat(), &[&text, b"x"]);
        }
    }
}
