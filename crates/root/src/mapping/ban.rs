//! The ban file: a subject on each line, in quotes or not, as LCAS has it. What follows a quoted
//! subject does not count, so lines of a grid-mapfile are understood, too. A `*` stands for any
//! text.

use std::path::Path;

use command::refusal::{Refusal, Result};
use error::Shown;

use super::subject::Subject;
use super::words::words;

/// The largest file, in bytes.
pub(crate) const LONGEST: u64 = 1 << 24;

/// Refuses a subject that is banned. A line that is not understood is a refusal for all: it could
/// ban this one.
pub(super) fn check(text: &[u8], path: &Path, subject: &[u8]) -> Result<()> {
    let asked = Subject::new(subject);
    let mut is_banned = false;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let banned = parse(line).map_err(|why| {
            Refusal::internal(format!("{}, line {number}: {why}", Shown::os(path)))
        })?;
        is_banned |= banned.is_some_and(|banned| asked.matches(&Subject::new(&banned), true));
    }
    if !is_banned {
        return Ok(());
    }
    Err(Refusal::not_authorized(format!("the subject {} is banned here", Shown(subject))))
}

/// The lines that are not understood: number, and why.
pub(crate) fn faults(text: &[u8]) -> Vec<(usize, &'static str)> {
    let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
    lines.filter_map(|(number, line)| parse(line).err().map(|why| (number, why))).collect()
}

/// The subject of a line; none if the line is blank or a comment. Without quotes all of it is the
/// subject, up to a comment: subjects have blanks in them.
fn parse(line: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let line = line.trim_ascii();
    let subject = match line.first() {
        None | Some(b'#') => return Ok(None),
        Some(b'"') => {
            let words = words(line).ok_or("its quotes or escapes are not valid")?;
            words.into_iter().next().map(|word| word.text).unwrap_or_default()
        }
        Some(_) => {
            let is_comment = |pair: &[u8]| pair[0].is_ascii_whitespace() && pair[1] == b'#';
            let end = line.windows(2).position(is_comment).unwrap_or(line.len());
            line[..end].trim_ascii().to_vec()
        }
    };
    match subject.first() {
        Some(b'/' | b'*') if !subject.contains(&0) => Ok(Some(subject)),
        _ => Err("it is not a subject: a subject begins with /"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use command::Status;

    use super::faults;

    fn status(text: &[u8], subject: &str) -> Option<Status> {
        let checked = super::check(text, Path::new("/ban"), subject.as_bytes());
        checked.err().map(|refusal| refusal.status)
    }

    #[test]
    fn a_banned_subject_is_refused_whichever_way_its_line_is_written() {
        let text = b"# banned\n\n\"/O=a/CN=b c\"\n/O=a/CN=d e # why\n\"/O=a/CN=f\" .pool\n/O=x/*\n";
        for banned in ["/O=a/CN=b c", "/O=a/CN=d e", "/O=a/CN=f", "/O=x/CN=any"] {
            assert_eq!(status(text, banned), Some(Status::NotAuthorized), "{banned}");
        }
        for other in ["/O=a/CN=b", "/O=a/CN=d", "/O=a/CN=d e f", "/O=y/CN=any", ""] {
            assert_eq!(status(text, other), None, "{other}");
        }
        assert_eq!(status(b"/O=a/Email=b\n", "/O=a/emailAddress=b"), Some(Status::NotAuthorized));
        assert_eq!(faults(text), []);
    }

    #[test]
    fn a_line_that_is_not_understood_bans_all() {
        for line in [&b"CN=b,O=a"[..], b"\"/CN=a", b"\"\\q\"", b"/CN=a\0", b"\"\"", b"\"/a\" \"b"] {
            let text = [b"/CN=x\n", line, b"\n"].concat();
            assert_eq!(status(&text, "/CN=y"), Some(Status::Internal), "{}", line.escape_ascii());
            assert_eq!(faults(&text).len(), 1);
        }
    }
}
