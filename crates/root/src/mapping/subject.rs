//! The subject of a proxy: the name of its owner in the form `/C=…/O=…/CN=…`.

/// A subject, in the one spelling that is compared. Software writes some attributes in several
/// ways: OpenSSL has written /Email= and later /emailAddress=, and /USERID= and later /UID=.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject(Vec<u8>);

/// Spellings of attributes, and those that they are compared as.
const SPELLINGS: [(&[u8], &[u8]); 3] =
    [(b"/E=", b"/emailAddress="), (b"/Email=", b"/emailAddress="), (b"/USERID=", b"/UID=")];

impl Subject {
    /// A subject as a proxy or a map has it.
    pub(crate) fn new(text: &[u8]) -> Subject {
        let mut subject = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.first() {
            let spelling = SPELLINGS.iter().find(|(other, _)| {
                rest.get(..other.len()).is_some_and(|here| here.eq_ignore_ascii_case(other))
            });
            match spelling {
                Some((other, one)) => {
                    subject.extend_from_slice(one);
                    rest = &rest[other.len()..];
                }
                None => {
                    subject.push(*first);
                    rest = &rest[1..];
                }
            }
        }
        Subject(subject)
    }

    /// Whether this is the subject of a line of a map. With wildcards, a `*` in the line's stands
    /// for any text.
    pub(crate) fn matches(&self, line: &Subject, wildcards: bool) -> bool {
        if wildcards { matches_pattern(&self.0, &line.0) } else { self == line }
    }
}

/// Whether a text matches a pattern in which `*` stands for any bytes. The time is at most the
/// product of the lengths: only the last `*` is ever tried again.
fn matches_pattern(text: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(next) {
            Some(b'*') => {
                star = Some((next, at));
                next += 1;
            }
            Some(byte) if *byte == text[at] => {
                at += 1;
                next += 1;
            }
            _ => match star {
                Some((place, begin)) => {
                    star = Some((place, begin + 1));
                    (next, at) = (place + 1, begin + 1);
                }
                None => return false,
            },
        }
    }
    pattern[next..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::{Subject, matches_pattern};

    #[test]
    fn spellings_of_one_attribute_are_equal_and_nothing_else_is() {
        let one = Subject::new(b"/O=a/CN=b/emailAddress=c/UID=d");
        for other in ["/O=a/CN=b/Email=c/USERID=d", "/O=a/CN=b/E=c/uid=d", "/O=a/CN=b/e=c/UserID=d"]
        {
            let is_same = one.matches(&Subject::new(other.as_bytes()), false);
            assert_eq!(is_same, !other.contains("uid="), "{other}");
        }
        for other in ["/O=a/CN=B/emailAddress=c/UID=d", "/O=a/CN=b/emailAddress=c", "/O=a/*"] {
            assert!(!one.matches(&Subject::new(other.as_bytes()), false), "{other}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for pattern in ["*", "/O=a/*", "/O=*/CN=b*", "**/CN=b c", "/O=a/CN=b c", "/O=a/CN=b c*"] {
            assert!(matches_pattern(b"/O=a/CN=b c", pattern.as_bytes()), "{pattern}");
        }
        for pattern in ["", "/O=a", "/O=b/*", "*/CN=b", "/O=a/CN=b c?", "*x*"] {
            assert!(!matches_pattern(b"/O=a/CN=b c", pattern.as_bytes()), "{pattern}");
        }
        assert!(matches_pattern(b"", b"*") && matches_pattern(b"", b""));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let text = vec![b'a'; 1 << 14];
        let pattern = [&b"*a".repeat(100)[..], b"b"].concat();
        assert!(!matches_pattern(&text, &pattern));
    }
}
