//! How a script ended, and what its keeper writes to the pipe about that.

use sys::wait::End;

/// What became of one run of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it got the short environment, because the other one is longer than the kernel takes
    /// (E2BIG, execve(2)).
    pub is_short: bool,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By itself: it exited, or was killed by a signal that this crate has not sent.
    Ended(End),
    /// It ran longer than its limit, and was ended.
    TimedOut,
    /// It was not executed: it is not trusted, or a step before failed. One line that says why.
    NotRun(String),
}

const ENDED: u8 = 0;
const TIMED_OUT: u8 = 1;
const NOT_RUN: u8 = 2;

impl Report {
    /// A script that was not executed.
    pub(crate) fn not_run(why: impl ToString) -> Report {
        Report { outcome: Outcome::NotRun(why.to_string()), is_short: false }
    }

    /// One byte each for the outcome and for the environment; then the status or the text.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (kind, rest) = match &self.outcome {
            Outcome::Ended(end) => (ENDED, end.to_bytes().to_vec()),
            Outcome::TimedOut => (TIMED_OUT, Vec::new()),
            Outcome::NotRun(why) => (NOT_RUN, why.clone().into_bytes()),
        };
        [vec![kind, u8::from(self.is_short)], rest].concat()
    }

    /// Reads the bytes of [`Report::to_bytes`]; none if they are not complete.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Report> {
        let (kind, is_short, rest) = match bytes {
            [kind, is_short, rest @ ..] => (*kind, *is_short != 0, rest),
            _ => return None,
        };
        let outcome = match kind {
            ENDED => Outcome::Ended(End::from_bytes(rest.try_into().ok()?)),
            TIMED_OUT => Outcome::TimedOut,
            NOT_RUN => Outcome::NotRun(String::from_utf8_lossy(rest).into_owned()),
            _ => return None,
        };
        Some(Report { outcome, is_short })
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Outcome, Report};

    #[test]
    fn a_report_is_read_as_it_was_written() {
        for outcome in [
            Outcome::Ended(End::Exited(3)),
            Outcome::Ended(End::Killed(9)),
            Outcome::TimedOut,
            Outcome::NotRun("why".into()),
        ] {
            let report = Report { outcome, is_short: true };
            let bytes = report.to_bytes();
            assert_eq!(Report::from_bytes(&bytes), Some(report));
        }
        for bytes in [&b""[..], &[0], &[0, 0, 1], &[9, 0]] {
            assert_eq!(Report::from_bytes(bytes), None);
        }
    }
}
