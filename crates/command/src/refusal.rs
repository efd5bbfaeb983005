//! Why an identity switcher does not run a command: one line, and gLExec's exit status.

use std::fmt;

/// The exit statuses of a switcher that has not run the command, and of one whose status would be
/// mistaken for these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// The command can't be executed, by any user.
    NotExecutable = 126,
    /// There is no such command, for any user.
    NotFound = 127,
    /// Usage error: no usable credential, no usable command, an invalid variable.
    Client = 201,
    /// System requirements are not met, or the switcher itself has failed.
    Internal = 202,
    /// The credential's user may not run a command here.
    NotAuthorized = 203,
    /// The command ran, and its own exit status is 201, 202, 203 or 204.
    Ambiguous = 204,
    /// The owner of a tree can't be changed, nothing of it was changed, and it can be copied.
    Copy = 205,
}

impl Status {
    const ALL: [Status; 7] = [
        Status::NotExecutable,
        Status::NotFound,
        Status::Client,
        Status::Internal,
        Status::NotAuthorized,
        Status::Ambiguous,
        Status::Copy,
    ];

    /// The status with this number.
    pub fn from_byte(byte: u8) -> Option<Status> {
        Status::ALL.into_iter().find(|status| *status as u8 == byte)
    }
}

/// Why the command is not run. `Display` gives one line: what failed, on what, why, what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The exit status that tells it.
    pub status: Status,
    /// The line.
    pub text: String,
}

/// What functions return that may refuse to run the command.
pub type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    /// A refusal with this status and line.
    pub fn new(status: Status, text: impl Into<String>) -> Self {
        Refusal { status, text: text.into() }
    }

    /// A usage error: [`Status::Client`].
    pub fn client(text: impl Into<String>) -> Self {
        Refusal::new(Status::Client, text)
    }

    /// System requirements are not met, or the switcher has failed: [`Status::Internal`].
    pub fn internal(text: impl Into<String>) -> Self {
        Refusal::new(Status::Internal, text)
    }

    /// The caller may not do this: [`Status::NotAuthorized`].
    pub fn not_authorized(text: impl Into<String>) -> Self {
        Refusal::new(Status::NotAuthorized, text)
    }

    /// The tree has to be copied: [`Status::Copy`].
    pub fn copy(text: impl Into<String>) -> Self {
        Refusal::new(Status::Copy, text)
    }

    /// The refusal as bytes for a pipe between processes of one program.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[self.status as u8], self.text.as_bytes()].concat()
    }

    /// The refusal that [`Refusal::to_bytes`] wrote; none if there is no byte. An unknown status
    /// becomes [`Status::Internal`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (status, text) = bytes.split_first()?;
        let status = Status::from_byte(*status).unwrap_or(Status::Internal);
        Some(Refusal { status, text: String::from_utf8_lossy(text).into_owned() })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::{Refusal, Status};

    #[test]
    fn a_refusal_is_the_same_after_the_pipe() {
        for status in Status::ALL {
            let refusal = Refusal::new(status, "no such file: /a");
            assert_eq!(Refusal::from_bytes(&refusal.to_bytes()), Some(refusal));
        }
        assert_eq!(Refusal::from_bytes(b""), None);
        assert_eq!(Refusal::from_bytes(b"\0text"), Some(Refusal::internal("text")));
    }
}
