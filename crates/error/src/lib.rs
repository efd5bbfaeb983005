//! The error type of the crates: what failed, on what, and why, in one line. And bytes as text.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;

use sys::{Errno, Uid};

pub mod access;
mod connection;
mod shown;
mod switcher;

pub use connection::ConnectionError;
pub use shown::Shown;
use shown::ShownPath;

/// The result of a function that fails with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A step that failed. `Display` gives one line, whatever bytes a path has.
#[derive(Debug)]
pub enum Error {
    /// A system call failed.
    System {
        /// The step, in words that follow "cannot".
        step: &'static str,
        /// The file, or another object of the step.
        path: Vec<u8>,
        /// The error number.
        cause: Errno,
    },
    /// A file, or another object, is not as required. Nothing was changed.
    Refused {
        /// The file or object.
        path: Vec<u8>,
        /// What is wrong with it and, if that helps, what to do.
        why: String,
    },
    /// A connection failed.
    Connection {
        /// The request, in words that follow "cannot", and its file; none if that is not known.
        during: Option<(&'static str, Vec<u8>)>,
        /// The other end.
        with: &'static str,
        /// Why.
        cause: ConnectionError,
    },
    /// The other end of a connection reported an error. The text is not trusted: it is only shown.
    Told {
        /// The other end.
        who: &'static str,
        /// Its message, of limited length.
        text: Vec<u8>,
    },
    /// The arguments or the environment variables of a program are wrong.
    Usage {
        /// What is wrong.
        text: String,
    },
    /// A call of the switcher failed.
    Switcher {
        /// The switcher's program.
        program: Vec<u8>,
        /// Its exit status, 128 + N for signal N; `None` if it did not end within the idle
        /// timeout.
        status: Option<i32>,
        /// What it wrote to its standard output and error, as one line.
        output: String,
    },
    /// The switcher runs commands as root or as the caller.
    NoJobUser {
        /// The user.
        uid: Uid,
    },
    /// A step failed, and then a step that was to undo or clean up failed.
    Both {
        /// The first error.
        first: Box<Error>,
        /// The error of the undo or clean-up.
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
            Error::Usage { text } => f.write_str(text),
            Error::Told { who, text } => write!(f, "{who}: {}", Shown(text)),
            Error::Switcher { program, status, output } => {
                write!(f, "{}: {}", ShownPath(program), switcher::meaning(*status))?;
                if output.is_empty() { Ok(()) } else { write!(f, ": {output}") }
            }
            Error::NoJobUser { uid } => {
                let user = if uid.is_root() { "root" } else { "the calling user" };
                write!(f, "switcher: it runs commands as {user}, not as a job user")
            }
            Error::Both { first, then } => write!(f, "{first}; and then: {then}"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// An error for a file or object that is not as required.
    pub fn refused(path: impl AsRef<std::ffi::OsStr>, why: impl Into<String>) -> Self {
        Error::Refused { path: path.as_ref().as_bytes().to_vec(), why: why.into() }
    }

    /// An error of a connection, without a request.
    pub fn connection(with: &'static str, cause: ConnectionError) -> Self {
        Error::Connection { during: None, with, cause }
    }

    /// Adds the request to an error of a connection. Other errors have a step already.
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

    /// Adds the error of the clean-up, if it failed.
    #[must_use]
    pub fn and_then(self, cleaning_up: Result<()>) -> Self {
        match cleaning_up {
            Ok(()) => self,
            Err(then) => Error::Both { first: Box::new(self), then: Box::new(then) },
        }
    }
}

/// Adds the step and the path to an error number.
pub trait Context<T> {
    /// `step` are words that follow "cannot"; `path` is the file or object of the step.
    fn at(self, step: &'static str, path: impl AsRef<std::ffi::OsStr>) -> Result<T>;

    /// As [`Context::at`]; the path is made only if the call failed.
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
