//! Why a credential is not accepted.

use std::fmt::Display;

/// The exit statuses of gLExec that an answer can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// The credential is not usable, here or elsewhere.
    Credential = 201,
    /// The site's settings or this node do not allow an answer.
    Site = 202,
    /// The credential is valid, and must not be used.
    NotAuthorized = 203,
}

/// A credential that is not accepted: the status, and the reason in one line.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: Status,
    pub reason: String,
}

/// What the steps of the check return.
pub type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    /// A refusal with this reason. Characters that do not fit in one line of ASCII are escaped.
    pub fn new(status: Status, reason: impl Display) -> Self {
        let escape = |c: char| match c {
            ' '..='~' => c.to_string(),
            c => c.escape_default().to_string(),
        };
        Refusal { status, reason: reason.to_string().chars().map(escape).collect() }
    }

    /// Of a credential that is not usable.
    pub fn credential(reason: impl Display) -> Self {
        Refusal::new(Status::Credential, reason)
    }

    /// Of a site's settings or a node.
    pub fn site(reason: impl Display) -> Self {
        Refusal::new(Status::Site, reason)
    }

    /// Of a credential that must not be used.
    pub fn not_authorized(reason: impl Display) -> Self {
        Refusal::new(Status::NotAuthorized, reason)
    }
}
