//! Why a connection fails.

use std::fmt;

use sys::Errno;

/// Why a connection fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionError {
    /// The other end is closed.
    Closed,
    /// The other end made no progress within the idle timeout.
    Idle,
    /// The other end sent what the protocol does not allow, or does not allow now.
    Protocol(&'static str),
    /// This process was interrupted.
    Halted,
    /// A system call failed.
    System(Errno),
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::Closed => f.write_str("it closed the connection"),
            ConnectionError::Idle => {
                f.write_str("no progress within the idle timeout (GLEXEC_HELPERS_IDLE_TIMEOUT)")
            }
            ConnectionError::Protocol(cause) => write!(f, "it violated the protocol ({cause})"),
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
