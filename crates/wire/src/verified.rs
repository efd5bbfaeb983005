//! The answer of `glexec_verify`, the program without privilege that checks a credential's
//! certificates: one line, which a privileged program reads. What is not exactly such a line is no
//! answer.
//!
//! ```text
//! identity not-after <seconds since 1970> level <proxies in the chain> full|limited <subject>
//! error <status> <reason>
//! ```

/// The most bytes of an answer, with its newline.
pub const MAX_ANSWER: usize = 4096;

/// The most proxies in a chain: the program accepts no longer one.
const MAX_LEVEL: u64 = 32;

/// What `glexec_verify` has found out about a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The credential is valid.
    Identity(Identity),
    /// The credential is not accepted.
    Error {
        /// gLExec's status: 201, 202 or 203.
        status: u8,
        /// Why, in one line of printable ASCII.
        reason: String,
    },
}

/// Whose a valid credential is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The seconds since 1970 at which the first certificate of the chain ends.
    pub not_after: u64,
    /// How many proxies the chain has: at least 1.
    pub level: u32,
    /// Whether one of the proxies is limited.
    pub is_limited: bool,
    /// The subject of the user's own certificate, as in a grid-mapfile
    /// (`/DC=org/DC=example/CN=Name`). Printable ASCII: a backslash, any other byte, and a slash in
    /// a value that looks like the beginning of an attribute, are `\xHH`. So two different subjects
    /// have different texts.
    pub subject: String,
}

impl Verified {
    /// Reads an answer: all that the program has written, up to the end of file. `None` if that is
    /// not exactly one valid line, for example because the program was killed.
    pub fn parse(answer: &[u8]) -> Option<Self> {
        if answer.len() > MAX_ANSWER {
            return None;
        }
        let line = answer.strip_suffix(b"\n")?;
        if !line.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return None;
        }
        let (kind, rest) = std::str::from_utf8(line).ok()?.split_once(' ')?;
        match kind {
            "identity" => identity(rest).map(Verified::Identity),
            "error" => error(rest),
            _ => None,
        }
    }
}

fn identity(rest: &str) -> Option<Identity> {
    let (not_after, rest) = rest.strip_prefix("not-after ")?.split_once(' ')?;
    let (level, rest) = rest.strip_prefix("level ")?.split_once(' ')?;
    let level = number(level).filter(|level| (1..=MAX_LEVEL).contains(level))?;
    let (kind, subject) = rest.split_once(' ')?;
    let is_limited = match kind {
        "full" => false,
        "limited" => true,
        _ => return None,
    };
    let is_subject = subject.starts_with('/') && subject.contains('=');
    is_subject.then_some(Identity {
        not_after: number(not_after)?,
        level: u32::try_from(level).ok()?,
        is_limited,
        subject: subject.to_owned(),
    })
}

fn error(rest: &str) -> Option<Verified> {
    let (status, reason) = rest.split_once(' ')?;
    let status = match status {
        "201" => 201,
        "202" => 202,
        "203" => 203,
        _ => return None,
    };
    (!reason.is_empty()).then(|| Verified::Error { status, reason: reason.to_owned() })
}

/// A decimal number as it is printed: without a sign and without zeros before it.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "identity not-after 1796049120 level 2 full /DC=org/CN=Alice Example\n";

    fn parse(answer: &str) -> Option<Verified> {
        Verified::parse(answer.as_bytes())
    }

    #[test]
    fn an_identity_is_read() {
        let identity = Identity {
            not_after: 1_796_049_120,
            level: 2,
            is_limited: false,
            subject: "/DC=org/CN=Alice Example".to_owned(),
        };
        assert_eq!(parse(VALID), Some(Verified::Identity(identity)));
        let limited = parse(&VALID.replace("full", "limited"));
        assert!(matches!(limited, Some(Verified::Identity(Identity { is_limited: true, .. }))));
    }

    #[test]
    fn an_error_is_read() {
        for status in [201, 202, 203] {
            let read = parse(&format!("error {status} it is = /not\\x0A so\n"));
            let reason = "it is = /not\\x0A so".to_owned();
            assert_eq!(read, Some(Verified::Error { status, reason }));
        }
    }

    #[test]
    fn what_is_not_exactly_one_valid_line_is_no_answer() {
        for (from, to) in [
            ("\n", ""),
            ("\n", "\n\n"),
            ("\n", "\r\n"),
            ("\n", "\nerror 203 x\n"),
            ("Alice", "Ali\tce"),
            ("Alice", "Alic\u{e9}"),
            ("Alice", "Ali\0ce"),
            ("identity ", "identity  "),
            ("identity", "Identity"),
            ("identity", " identity"),
            ("1796049120", ""),
            ("1796049120", "+1796049120"),
            ("1796049120", "-1"),
            ("1796049120", "01796049120"),
            ("1796049120", "99999999999999999999"),
            ("level 2", "level 0"),
            ("level 2", "level 33"),
            ("level 2", "level 2x"),
            ("level 2 ", ""),
            ("full", "Full"),
            ("full ", ""),
            ("/DC=org/CN=Alice Example", ""),
            ("/DC=org/CN=Alice Example", "DC=org"),
            ("/DC=org/CN=Alice Example", "/DC"),
        ] {
            let answer = VALID.replacen(from, to, 1);
            assert_eq!(parse(&answer), None, "{answer:?}");
        }
        for answer in ["", "\n", "error\n", "error 203\n", "error 203 \n", "error 0 x\n"] {
            assert_eq!(parse(answer), None, "{answer:?}");
        }
        assert_eq!(parse("error 204 x\n"), None);
    }

    #[test]
    fn an_answer_is_bounded() {
        let answer = |length: usize| {
            let begins = "error 201 ";
            format!("{begins}{}\n", "x".repeat(length - begins.len() - 1))
        };
        assert!(parse(&answer(MAX_ANSWER)).is_some());
        assert_eq!(parse(&answer(MAX_ANSWER + 1)), None);
    }
}
