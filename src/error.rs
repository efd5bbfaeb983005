//! The library's error: what was being done, to which path, and why it failed, in one line.
#![forbid(unsafe_code)]

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::shown::{Shown, ShownPath};
use crate::sys::space::Restrictions;
use crate::sys::{Errno, dir, process};

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
        /// What was asked of it, as words that follow "cannot", and what that was about; where that is known.
        during: Option<(&'static str, Vec<u8>)>,
        /// The other end.
        with: &'static str,
        /// What happened.
        cause: crate::wire::Broken,
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
            Error::System { step, path, cause } => write!(f, "cannot {step} {}: {cause}", ShownPath(path)),
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
    pub fn connection(with: &'static str, cause: crate::wire::Broken) -> Self {
        Error::Connection { during: None, with, cause }
    }

    /// Says what was asked of the other end of a conversation that broke; other errors tell their step themselves.
    #[must_use]
    pub fn during(self, step: &'static str, path: impl AsRef<std::ffi::OsStr>) -> Self {
        match self {
            Error::Connection { with, cause, .. } => {
                Error::Connection { during: Some((step, path.as_ref().as_bytes().to_vec())), with, cause }
            }
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
        self.map_err(|error| crate::sys::errno(&error)).at(step, path)
    }

    fn at_entry(self, step: &'static str, path: impl FnOnce() -> std::ffi::OsString) -> Result<T> {
        self.map_err(|error| crate::sys::errno(&error)).at_entry(step, path)
    }
}

/// What keeps `who`, the user of this process, from executing a program, as far as that can be seen, and what to do; none where the kernel's
/// answer says it all.
pub fn why_not_executed(who: &str, program: &Path, cause: Errno) -> Option<String> {
    if cause == Errno::EACCES {
        if let Some(directory) = process::first_closed(program) {
            return Some(why_closed(who, &directory));
        }
    }
    Some(match cause {
        Errno::EACCES if program.is_dir() => "it is a directory".to_owned(),
        Errno::EACCES if Restrictions::at(program).is_ok_and(|restrictions| restrictions.noexec) => {
            "its file system is mounted noexec: use another place".to_owned()
        }
        Errno::EACCES if process::may_execute(program) => {
            format!("{who} may not execute its interpreter, or that is on a file system mounted noexec")
        }
        Errno::EACCES if dir::stat_path(program).is_ok_and(|found| found.mode() & 0o111 == 0) => {
            format!("{who} may not execute it, and neither may anybody else: chmod a+rx")
        }
        Errno::EACCES => {
            format!("{who} may not execute it, or not pass a directory behind a link on the way: chmod a+rx")
        }
        Errno::ENOENT if program.exists() => "its interpreter does not exist".to_owned(),
        Errno::ENOEXEC => "it is no program for this machine, and no script that begins with #!".to_owned(),
        _ => return None,
    })
}

/// That `who` cannot pass a directory, and what to do.
pub fn why_closed(who: &str, directory: &Path) -> String {
    let shown = Shown::os(directory);
    format!("{who} cannot pass the directory {shown}: chmod o+x {shown}, or use another place")
}
