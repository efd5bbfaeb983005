//! Why a command failed. There are three types for that:
//!
//! - [`error::Error`]: what failed, on what, and why. Functions return it; where a caller decides
//!   by the cause, the cause is a variant of it.
//! - [`HelperError`]: an `Error` with the exit status of a helper. The functions that are a
//!   helper's whole work return it.
//! - [`PilotError`](super::pilot::error::PilotError): an `Error` with the stage of a pilot's run
//!   that failed, which determines the exit status of `condor_glexec_pilot run`.

use std::fmt;

use error::Error;

/// The exit status of a helper. cleanup and update_proxy use 0 and 1 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HelperStatus {
    /// The operation succeeded.
    Success = 0,
    /// Usage error or bad input; nothing was changed. For cleanup and update_proxy: any failure.
    BadInput = 1,
    /// The operation failed, and the same call would fail again.
    Failed = 2,
    /// The switcher failed with a status that stands for a temporary failure, on the first call
    /// and on each retry.
    RetriesExhausted = 3,
    /// The switcher cannot be executed (run only; as of a shell).
    NotExecutable = 126,
    /// The switcher does not exist (run only; as of a shell).
    NotFound = 127,
}

/// The failure of a helper. An [`Error`] becomes one with the status [`HelperStatus::Failed`].
#[derive(Debug)]
pub struct HelperError {
    /// The exit status.
    pub status: HelperStatus,
    /// The cause.
    pub error: Error,
    /// How often the switcher was called, if all retries were used up.
    calls: Option<u32>,
}

impl HelperError {
    /// A failure with this exit status.
    pub fn new(status: HelperStatus, error: Error) -> Self {
        HelperError { status, error, calls: None }
    }

    /// A usage error or bad input.
    pub fn bad_input(error: Error) -> Self {
        HelperError::new(HelperStatus::BadInput, error)
    }

    /// The switcher failed with a temporary failure on each of so many calls.
    pub fn retries_exhausted(error: Error, calls: u32) -> Self {
        HelperError { status: HelperStatus::RetriesExhausted, error, calls: Some(calls) }
    }

    /// The same failure with another exit status.
    #[must_use]
    pub fn with_status(self, status: HelperStatus) -> Self {
        HelperError { status, ..self }
    }

    /// The same failure, together with what failed while its effects were undone.
    #[must_use]
    pub fn and_then(self, undoing: error::Result<()>) -> Self {
        HelperError { error: self.error.and_then(undoing), ..self }
    }
}

impl fmt::Display for HelperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.calls {
            Some(calls) => write!(f, "{} (calls made: {calls})", self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for HelperError {}

impl From<Error> for HelperError {
    fn from(error: Error) -> Self {
        HelperError::new(HelperStatus::Failed, error)
    }
}

impl From<HelperError> for Error {
    fn from(failure: HelperError) -> Self {
        failure.error
    }
}
