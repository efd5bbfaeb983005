//! How a call of the switcher ended.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use command::Status;
use error::Error;
use sys::wait::{End, Usage};

/// The outcome of a call that is not waited for any more.
#[derive(Clone, Debug)]
pub struct CallOutcome {
    pub(super) program: PathBuf,
    /// How the switcher's process ended; `None` if it did not end in time.
    pub end: Option<End>,
    /// What it has used, with the processes below it that were waited for, if that is known.
    pub usage: Option<Usage>,
    /// What it wrote, as one line.
    pub output: String,
}

impl CallOutcome {
    /// Whether the switcher ended with status 0.
    pub fn is_success(&self) -> bool {
        self.end == Some(End::Exited(0))
    }

    /// Whether the project's `glexec` says that the owner of the directory cannot be changed: it is
    /// as it was, and has to be copied.
    pub fn asks_for_copy(&self) -> bool {
        self.end == Some(End::Exited(Status::Copy as i32))
    }

    /// What the switcher wrote, as one line.
    pub fn into_output(self) -> String {
        self.output
    }

    /// The error that this outcome is.
    pub fn error(self) -> Error {
        Error::Switcher {
            program: self.program.as_os_str().as_bytes().to_vec(),
            status: self.end.map(End::status),
            output: self.output,
        }
    }

    /// The same, or `known` if the outcome says nothing: the switcher did not end, and wrote
    /// nothing.
    pub fn error_or(self, known: Error) -> Error {
        if self.end.is_none() && self.output.is_empty() { known } else { self.error() }
    }
}
