//! Why sudo is not called, in the terms of an identity switcher's exit statuses.

use std::fmt;

/// What went wrong, for the caller to tell by the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// The command can't be executed, by any user.
    NotExecutable = 126,
    /// There is no such command, for any user.
    NotFound = 127,
    /// The call: no absolute command, no usable credential.
    Client = 201,
    /// The machine: no usable map, no usable sudo, accounts that can't be looked up.
    Internal = 202,
    /// The map does not let the caller become anybody, or leads where nothing may lead.
    NotAuthorized = 203,
}

/// One line that says why, and what to do.
#[derive(Debug)]
pub struct Refusal {
    /// Whose fault it is.
    pub status: Status,
    /// Why.
    pub text: String,
}

impl Refusal {
    /// A refusal with this status and line.
    pub fn new(status: Status, text: impl Into<String>) -> Self {
        Refusal { status, text: text.into() }
    }

    /// The call is wrong.
    pub fn client(text: impl Into<String>) -> Self {
        Refusal::new(Status::Client, text)
    }

    /// The machine is not fit.
    pub fn internal(text: impl Into<String>) -> Self {
        Refusal::new(Status::Internal, text)
    }

    /// The caller may not.
    pub fn not_authorized(text: impl Into<String>) -> Self {
        Refusal::new(Status::NotAuthorized, text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

/// What the functions here return.
pub type Result<T, E = Refusal> = std::result::Result<T, E>;
