//! Repeating a call of the switcher after a temporary failure.

use std::time::Duration;

use command::Status;
use error::{Error, Result};

use super::error::HelperError;
use super::report::Report;

/// How often, and after which delays, a failed call is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// How many retries there are at most.
    pub max: u32,
    /// The shortest delay, in seconds. Delays grow at random, up to a hundred times of it.
    pub min_delay: u64,
}

/// Makes calls until one succeeds, one fails permanently, or more than `retries.max` have failed.
///
/// Before each delay the caller gets a line. Before the first of these lines, and when the cause
/// changes, another line has the cause: if not everything fits, a starter shows the beginning of
/// this output as the reason why a job is held.
pub fn retrying<T>(
    retries: Retries,
    report: &mut Report<'_>,
    mut call: impl FnMut(&mut Report<'_>) -> Result<T>,
) -> Result<T, HelperError> {
    let mut failures = 0;
    let mut last_cause = String::new();
    loop {
        let error = match call(report) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(status) = temporary_failure(&error) else { return Err(error.into()) };
        failures += 1;
        report.statuses.push(status);
        if failures > retries.max {
            return Err(HelperError::retries_exhausted(error, failures));
        }
        let cause = error.to_string();
        if cause != last_cause {
            report.notice(&cause);
            last_cause = cause;
        }
        let seconds = delay(retries.min_delay, failures);
        report
            .notice(&format!("Glexec exited with status {status}; retrying in {seconds} seconds."));
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

/// The exit status of the switcher, if it stands for a failure that may be temporary.
fn temporary_failure(error: &Error) -> Option<i32> {
    const TEMPORARY: [i32; 2] = [Status::Internal as i32, Status::NotAuthorized as i32];
    match error {
        Error::Switcher { status: Some(status), .. } if TEMPORARY.contains(status) => Some(*status),
        _ => None,
    }
}

/// The next delay in seconds: the shortest one, times a random number from 1 to the number of
/// failures, at most 100.
fn delay(min_delay: u64, failures: u32) -> u64 {
    min_delay.saturating_mul(u64::from(fastrand::u32(1..=failures.min(100))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::delay;

    #[test]
    fn delays_are_random_multiples_up_to_the_number_of_failures_and_at_most_100() {
        let delays = |failures| (0..20_000).map(|_| delay(2, failures)).collect::<BTreeSet<_>>();
        assert_eq!(delays(1), BTreeSet::from([2]));
        assert_eq!(delays(3), BTreeSet::from([2, 4, 6]));
        assert_eq!(delays(1000), (1..=100).map(|factor| 2 * factor).collect());
    }
}
