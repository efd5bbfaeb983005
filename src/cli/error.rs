//! Why a helper failed, with the exit status for that.

use super::status::HelperStatus;
use crate::batch::{Failure, run};

/// The failure of a helper.
#[derive(Debug)]
pub struct HelperError {
    /// The exit status.
    pub status: HelperStatus,
    /// The message.
    pub error: anyhow::Error,
}

impl From<anyhow::Error> for HelperError {
    fn from(error: anyhow::Error) -> Self {
        HelperError { status: HelperStatus::BadInput, error }
    }
}

impl From<error::Error> for HelperError {
    fn from(error: error::Error) -> Self {
        HelperError { status: HelperStatus::BadInput, error: error.into() }
    }
}

impl From<Failure> for HelperError {
    fn from(failure: Failure) -> Self {
        let status = match failure {
            Failure::BadInput(_) => HelperStatus::BadInput,
            Failure::Hopeless(_) | Failure::Gone(_) => HelperStatus::Failed,
            Failure::RetriesUsedUp(..) => HelperStatus::RetriesExhausted,
        };
        HelperError { status, error: failure.into() }
    }
}

impl From<run::Failure> for HelperError {
    fn from(failure: run::Failure) -> Self {
        let status = match failure {
            run::Failure::BadInput(_) => HelperStatus::BadInput,
            run::Failure::NotExecutable(_) => HelperStatus::NotExecutable,
            run::Failure::NotFound(_) => HelperStatus::NotFound,
        };
        HelperError { status, error: failure.into() }
    }
}
