//! The grid-mapfile: the accounts of subjects. Lines `"subject" account[,account…]`, where an
//! account is a name, or `.prefix` for an account of a pool. The first line that matches counts.

use std::path::Path;

use command::refusal::{Refusal, Result};
use error::Shown;

use super::subject::Subject;
use super::target::Target;
use super::words::words;

/// The largest file, in bytes.
pub(crate) const LONGEST: u64 = 1 << 24;

const FORM: &str = "it is not of the form: \"subject\" account[,account...]";

/// A line: the subject as it is written, and its targets.
struct Entry {
    subject: Vec<u8>,
    targets: Vec<Target>,
}

/// The targets of a subject, in the order of its line. A line before it that is not understood is
/// a refusal: it could be about this subject, too.
pub(super) fn find(
    text: &[u8],
    path: &Path,
    subject: &[u8],
    wildcards: bool,
) -> Result<Vec<Target>> {
    let wanted = Subject::new(subject);
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        match parse(line) {
            Ok(Some(entry)) if wanted.matches(&Subject::new(&entry.subject), wildcards) => {
                return Ok(entry.targets);
            }
            Ok(_) => {}
            Err(why) => {
                let path = Shown::os(path);
                return Err(Refusal::internal(format!("{path}, line {number}: {why}")));
            }
        }
    }
    Err(Refusal::not_authorized(format!(
        "the subject {} has no account: an administrator can add it to {}",
        Shown(subject),
        Shown::os(path)
    )))
}

/// The lines that are not understood, or that no subject can match: number, and why.
pub(crate) fn faults(text: &[u8]) -> Vec<(usize, &'static str)> {
    let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
    lines
        .filter_map(|(number, line)| match parse(line) {
            Err(why) => Some((number, why)),
            Ok(Some(entry)) if !matches!(entry.subject.first(), Some(b'/' | b'*')) => {
                Some((number, "no subject matches: a subject begins with /"))
            }
            Ok(_) => None,
        })
        .collect()
}

/// A line; none if it is blank or a comment.
fn parse(line: &[u8]) -> Result<Option<Entry>, &'static str> {
    let words = words(line).ok_or("its quotes or escapes are not valid")?;
    let mut words = words.into_iter();
    let Some(subject) = words.next() else { return Ok(None) };
    let mut accounts = Vec::new();
    for (number, word) in words.enumerate() {
        if word.is_quoted {
            return Err(FORM);
        }
        // Two words without a comma between them are a mistake, such as a missing quote.
        if number > 0 && !accounts.ends_with(b",") && !word.text.starts_with(b",") {
            return Err(FORM);
        }
        accounts.extend_from_slice(&word.text);
    }
    let targets: Option<Vec<_>> = accounts.split(|byte| *byte == b',').map(Target::parse).collect();
    targets.map(|targets| Some(Entry { subject: subject.text, targets })).ok_or(FORM)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use command::Status;
    use command::refusal::Refusal;

    use super::{Target, faults};

    fn find(text: &[u8], subject: &str, wildcards: bool) -> Result<Vec<Target>, Refusal> {
        super::find(text, Path::new("/map"), subject.as_bytes(), wildcards)
    }

    fn account(name: &str) -> Target {
        Target::Account(name.into())
    }

    #[test]
    fn quoting_escapes_pools_and_several_accounts_are_understood() {
        let text = br#"
# comment
"/O=Grid/CN=Alice \"A\" B\x43" alice
"/O=Grid/CN=Bob"	.atlas, bob ,carol # comment
/O=Grid/CN=plain .cms
"/O=Grid/CN=Bob" later
"#;
        let found = |subject: &str| find(text, subject, false);
        assert_eq!(found("/O=Grid/CN=Alice \"A\" BC"), Ok(vec![account("alice")]));
        let several = vec![Target::Pool(b"atlas".to_vec()), account("bob"), account("carol")];
        assert_eq!(found("/O=Grid/CN=Bob"), Ok(several));
        assert_eq!(found("/O=Grid/CN=plain"), Ok(vec![Target::Pool(b"cms".to_vec())]));
        for subject in ["/O=Grid/CN=bob", "/O=Grid/CN=Bo", "/O=Grid/CN=Bob/CN=proxy", ""] {
            assert_eq!(
                found(subject).map_err(|refusal| refusal.status),
                Err(Status::NotAuthorized)
            );
        }
        assert_eq!(faults(text), []);
    }

    #[test]
    fn a_star_is_a_wildcard_only_by_configuration() {
        let text = b"\"/O=Grid/*\" .pool\n\"/O=Grid/CN=a\" a\n";
        assert_eq!(find(text, "/O=Grid/CN=a", true), Ok(vec![Target::Pool(b"pool".to_vec())]));
        assert_eq!(find(text, "/O=Grid/CN=a", false), Ok(vec![account("a")]));
        assert_eq!(find(text, "/O=Grid/*", false), Ok(vec![Target::Pool(b"pool".to_vec())]));
        assert!(find(text, "/O=Other/CN=a", true).is_err());
    }

    #[test]
    fn a_line_that_is_not_understood_before_the_subjects_own_is_a_refusal() {
        for line in [
            &b"\"/CN=a\""[..],
            b"\"/CN=a",
            b"/CN=a b c",
            b"\"/CN=a\" \"b\"",
            b"\"/CN=a\" b,",
            b"\"/CN=a\" ,b",
            b"\"/CN=a\" b,,c",
            b"\"/CN=a\" ../b",
            b"\"/CN=a\" 0",
            b"\"/CN=a\" b\0",
            b"\"\\n\" b",
        ] {
            let before = [line, b"\n\"/CN=x\" x\n"].concat();
            let refusal = find(&before, "/CN=x", false).unwrap_err();
            assert_eq!(refusal.status, Status::Internal, "{}", line.escape_ascii());
            assert!(refusal.text.starts_with("/map, line 1: "), "{refusal}");
            let after = [b"\"/CN=x\" x\n", line].concat();
            assert_eq!(find(&after, "/CN=x", false), Ok(vec![account("x")]));
            assert_eq!(faults(&after).len(), 1, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_subject_cannot_bring_a_line_of_its_own() {
        let text = b"\"/CN=a\" a\n";
        for subject in ["/CN=a\" root", "/CN=b\n\"/CN=a", "/CN=a\0", "\"/CN=a\""] {
            let refusal = find(text, subject, true).unwrap_err();
            assert!(!refusal.text.contains(char::is_control), "{refusal}");
        }
    }
}
