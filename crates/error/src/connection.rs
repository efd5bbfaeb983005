//! Why a connection between a helper and its agent ends before its work is done.

use std::fmt;

use sys::Errno;

/// Why a connection can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionError {
    /// The other end is gone.
    Closed,
    /// The other end let the idle limit pass.
    Idle,
    /// The other end sent something that it may not send, or not now.
    Protocol(&'static str),
    /// This side was to end before it was done.
    Halted,
    /// The kernel refused.
    System(Errno),
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::Closed => f.write_str("it closed the connection"),
            ConnectionError::Idle => {
                f.write_str("no progress within the idle limit (GLEXEC_HELPERS_IDLE_TIMEOUT)")
            }
            ConnectionError::Protocol(cause) => write!(f, "it broke the protocol ({cause})"),
            ConnectionError::Halted => f.write_str("it was interrupted"),
            ConnectionError::System(cause) => write!(f, "{cause}"),
        }
    }
}

impl std::error::Error for ConnectionError {}

impl From<Errno> for ConnectionError {
    fn from(cause: Errno) -> Self {
        match cause {
            Errno::EAGAIN => ConnectionError::Idle,
            Errno::EPIPE | Errno::ECONNRESET => ConnectionError::Closed,
            cause => ConnectionError::System(cause),
        }
    }
}
