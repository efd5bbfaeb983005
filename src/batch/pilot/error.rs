//! Why a pilot's run failed.

use std::fmt;

use error::Error;

/// The stage of a run that failed. Each has a separate exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The check before anything is done: usage error or bad input.
    Check,
    /// Making the sandbox, and handing it over.
    SetUp,
    /// Starting the payload.
    Start,
    /// Bringing the files back, to the sandbox or to the output.
    CleanUp,
}

/// An error with the stage that failed.
#[derive(Debug)]
pub struct PilotError {
    /// The stage.
    pub stage: Stage,
    /// The cause.
    pub error: Error,
}

impl fmt::Display for PilotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl std::error::Error for PilotError {}
