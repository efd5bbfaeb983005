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
    /// What it has printed, if that was to be read.
    pub output: Vec<u8>,
    /// Whether it has printed more.
    pub is_cut: bool,
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
        let outcome = Outcome::NotRun(why.to_string());
        Report { outcome, is_short: false, output: Vec::new(), is_cut: false }
    }

    /// One byte each for the outcome, the environment and the output; the length of the status or
    /// text, 4 bytes; that; the output.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (kind, rest) = match &self.outcome {
            Outcome::Ended(end) => (ENDED, end.to_bytes().to_vec()),
            Outcome::TimedOut => (TIMED_OUT, Vec::new()),
            Outcome::NotRun(why) => (NOT_RUN, why.clone().into_bytes()),
        };
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX).to_ne_bytes();
        let head = [kind, u8::from(self.is_short), u8::from(self.is_cut)];
        [&head[..], &length, &rest, &self.output].concat()
    }

    /// Reads the bytes of [`Report::to_bytes`]; none if they are not complete.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Report> {
        let (head, rest) = bytes.split_first_chunk::<7>()?;
        let [kind, is_short, is_cut, length @ ..] = *head;
        let length = usize::try_from(u32::from_ne_bytes(length)).ok()?;
        let (rest, output) = rest.split_at_checked(length)?;
        let outcome = match kind {
            ENDED => Outcome::Ended(End::from_bytes(rest.try_into().ok()?)),
            TIMED_OUT => Outcome::TimedOut,
            NOT_RUN => Outcome::NotRun(String::from_utf8_lossy(rest).into_owned()),
            _ => return None,
        };
        let (is_short, is_cut) = (is_short != 0, is_cut != 0);
        Some(Report { outcome, is_short, output: output.to_vec(), is_cut })
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
            let output = b"printed".to_vec();
            let report = Report { outcome, is_short: true, output, is_cut: false };
            let bytes = report.to_bytes();
            assert_eq!(Report::from_bytes(&bytes), Some(report));
        }
        for bytes in [&b""[..], &[0], &[0, 0, 0, 4, 0, 0, 0, 1], &[9, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(Report::from_bytes(bytes), None);
        }
    }
}
