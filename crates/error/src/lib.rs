//! What failed, on what, and why, in one line: the one error type of the crates, and bytes as text.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;

use sys::Errno;

pub mod access;
mod connection;
mod shown;

pub use connection::ConnectionError;
pub use shown::{Shown, ShownPath};

/// What the library's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A step that failed. `Display` gives one line, whatever bytes the path holds.
#[derive(Debug)]
pub enum Error {
    /// The kernel refused a step.
    System {
        /// The step, as words that follow "cannot".
        step: &'static str,
        /// What the step was about.
        path: Vec<u8>,
        /// The kernel's answer.
        cause: Errno,
    },
    /// What was found is not what it has to be; nothing was touched.
    Refused {
        /// What was looked at.
        path: Vec<u8>,
        /// What is wrong with it, and where it helps, what to do.
        why: String,
    },
    /// The two ends of a connection no longer understand each other, or one is gone.
    Connection {
        /// What was asked of it, as words that follow "cannot", and what that was about; where
        /// that is known.
        during: Option<(&'static str, Vec<u8>)>,
        /// The other end.
        with: &'static str,
        /// What happened.
        cause: ConnectionError,
    },
    /// The other end says that it failed. Its words are not trusted; they are only shown.
    Told {
        /// Who says so.
        who: &'static str,
        /// Its message, bounded in length.
        text: Vec<u8>,
    },
    /// A step failed, and so did putting things back; both are worth knowing.
    Both {
        /// What failed first.
        first: Box<Error>,
        /// What failed while the first was mended.
        then: Box<Error>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::System { step, path, cause } => {
                write!(f, "cannot {step} {}: {cause}", ShownPath(path))
            }
            Error::Refused { path, why } => write!(f, "{}: {why}", ShownPath(path)),
            Error::Connection { during: None, with, cause } => write!(f, "{with}: {cause}"),
            Error::Connection { during: Some((step, path)), with, cause } => {
                write!(f, "cannot {step} {}: {with}: {cause}", ShownPath(path))
            }
            Error::Told { who, text } => write!(f, "{who}: {}", Shown(text)),
            Error::Both { first, then } => write!(f, "{first}; and then: {then}"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Something is not what it has to be.
    pub fn refused(path: impl AsRef<std::ffi::OsStr>, why: impl Into<String>) -> Self {
        Error::Refused { path: path.as_ref().as_bytes().to_vec(), why: why.into() }
    }

    /// A conversation broke.
    pub fn connection(with: &'static str, cause: ConnectionError) -> Self {
        Error::Connection { during: None, with, cause }
    }

    /// Says what was asked of the other end of a conversation that broke; other errors tell their
    /// step themselves.
    #[must_use]
    pub fn during(self, step: &'static str, path: impl AsRef<std::ffi::OsStr>) -> Self {
        match self {
            Error::Connection { with, cause, .. } => Error::Connection {
                during: Some((step, path.as_ref().as_bytes().to_vec())),
                with,
                cause,
            },
            error => error,
        }
    }

    /// Joins the failure of the clean-up, if there was one, to this failure.
    #[must_use]
    pub fn and_then(self, cleaning_up: Result<()>) -> Self {
        match cleaning_up {
            Ok(()) => self,
            Err(then) => Error::Both { first: Box::new(self), then: Box::new(then) },
        }
    }
}

/// Says at which step, and with which path, a system call failed.
pub trait Context<T> {
    /// `step` follows the word "cannot"; `path` is what it was about.
    fn at(self, step: &'static str, path: impl AsRef<std::ffi::OsStr>) -> Result<T>;

    /// As [`Context::at`], for a path that is put together only if it is needed.
    fn at_entry(self, step: &'static str, path: impl FnOnce() -> std::ffi::OsString) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, Errno> {
    fn at(self, step: &'static str, path: impl AsRef<std::ffi::OsStr>) -> Result<T> {
        self.map_err(|cause| Error::System { step, path: path.as_ref().as_bytes().to_vec(), cause })
    }

    fn at_entry(self, step: &'static str, path: impl FnOnce() -> std::ffi::OsString) -> Result<T> {
        self.or_else(|cause| Err(cause).at(step, path()))
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn at(self, step: &'static str, path: impl AsRef<std::ffi::OsStr>) -> Result<T> {
        self.map_err(|error| sys::errno(&error)).at(step, path)
    }

    fn at_entry(self, step: &'static str, path: impl FnOnce() -> std::ffi::OsString) -> Result<T> {
        self.map_err(|error| sys::errno(&error)).at_entry(step, path)
    }
}
