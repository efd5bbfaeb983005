//! Calling the switcher again after a transient failure.

use std::fmt;

use error::Error;

use super::report::Report;
use super::switcher::Ended;

/// How often, and how far apart, a failed call is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// So many repetitions at most.
    pub max_retries: u32,
    /// The shortest pause, in seconds; the pauses grow at random up to a hundred times of it.
    pub min_delay: u64,
}

/// Why one call failed.
#[derive(Debug)]
pub enum Attempt {
    /// The switcher says that it may work later.
    Transient(Ended),
    /// It will not.
    Hopeless(Error),
}

impl Attempt {
    /// The failure of a call that is not repeated.
    pub fn error(self) -> Error {
        match self {
            Attempt::Transient(ended) => ended.error(),
            Attempt::Hopeless(error) => error,
        }
    }
}

impl From<Error> for Attempt {
    fn from(error: Error) -> Self {
        Attempt::Hopeless(error)
    }
}

/// Why a command failed, as far as its caller has to know: each has an exit status of its own.
#[derive(Debug)]
pub enum Failure {
    /// What the caller asked for makes no sense, or its directory is not what it has to be; nothing
    /// was changed.
    BadInput(Error),
    /// It failed, and the same call would fail again.
    Hopeless(Error),
    /// The switcher failed each time with a status that says "later".
    RetriesUsedUp(Error, u32),
    /// What was to be brought back is gone; all that can be done has been done.
    Gone(Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::BadInput(cause) => write!(f, "{cause}"),
            Failure::Hopeless(cause) | Failure::Gone(cause) => write!(f, "{cause}"),
            Failure::RetriesUsedUp(first, second) => write!(f, "{first} (calls made: {second})"),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// What went wrong.
    pub fn error(self) -> Error {
        match self {
            Failure::BadInput(error)
            | Failure::Hopeless(error)
            | Failure::RetriesUsedUp(error, _)
            | Failure::Gone(error) => error,
        }
    }

    /// The failure, together with what failed while it was mended.
    #[must_use]
    pub fn and_then(self, mending: error::Result<()>) -> Self {
        match self {
            Failure::BadInput(error) => Failure::BadInput(error.and_then(mending)),
            Failure::Hopeless(error) => Failure::Hopeless(error.and_then(mending)),
            Failure::Gone(error) => Failure::Gone(error.and_then(mending)),
            Failure::RetriesUsedUp(error, calls) => {
                Failure::RetriesUsedUp(error.and_then(mending), calls)
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Hopeless(error)
    }
}

/// Makes calls until one works, one fails for good, or more than `max_retries` have failed. Before
/// each pause the caller gets a line; before the first of these, and when it changes, another one
/// with the cause: a starter shows the beginning of what it was told, if not all fits, as the
/// reason why a job is held.
pub fn retrying<T>(
    patience: Patience,
    report: &mut Report<'_>,
    mut call: impl FnMut(&mut Report<'_>) -> Result<T, Attempt>,
) -> Result<T, Failure> {
    let mut failures = 0;
    let mut told = String::new();
    loop {
        let ended = match call(report) {
            Ok(value) => return Ok(value),
            Err(Attempt::Hopeless(error)) => return Err(Failure::Hopeless(error)),
            Err(Attempt::Transient(ended)) => ended,
        };
        failures += 1;
        report.statuses.push(ended.code());
        if failures > patience.max_retries {
            return Err(Failure::RetriesUsedUp(ended.error(), failures));
        }
        let cause = ended.clone().error().to_string();
        if cause != told {
            report.notice(&cause);
            told = cause;
        }
        let seconds = pause(patience.min_delay, failures);
        report.notice(&format!(
            "Glexec exited with status {}; retrying in {seconds} seconds.",
            ended.code()
        ));
        std::thread::sleep(std::time::Duration::from_secs(seconds));
    }
}

/// The next pause in seconds: the shortest one, times a random number from 1 to the failures so
/// far, at most 100.
fn pause(min_delay: u64, failures: u32) -> u64 {
    min_delay.saturating_mul(u64::from(fastrand::u32(1..=failures.min(100))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::pause;

    #[test]
    fn pauses_are_random_multiples_up_to_the_failures_so_far_and_at_most_100() {
        let pauses = |failures| (0..20_000).map(|_| pause(2, failures)).collect::<BTreeSet<_>>();
        assert_eq!(pauses(1), BTreeSet::from([2]));
        assert_eq!(pauses(3), BTreeSet::from([2, 4, 6]));
        assert_eq!(pauses(1000), (1..=100).map(|factor| 2 * factor).collect());
    }
}
