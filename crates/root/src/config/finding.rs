//! What is found in a configuration and in the files that it names.

use std::fmt;
use std::path::PathBuf;

use error::Shown;

/// Something that is wrong, or that has no effect. `Display` gives one line: file, line, key, what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The number of the line, from 1; none if it is about the whole file.
    pub line: Option<usize>,
    /// The key, as it is written, or that names the file; none if the line has none.
    pub key: Option<Vec<u8>>,
    /// What it means.
    pub severity: Severity,
    /// What is wrong, or why there is no effect.
    pub text: String,
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// No call is served until it is corrected.
    Fault,
    /// It does nothing.
    NoEffect,
    /// It may not be what is meant.
    Notice,
}

impl Finding {
    /// Whether no call is served until it is corrected.
    pub fn is_fault(&self) -> bool {
        self.severity == Severity::Fault
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A key of any length must not hide what follows it.
        const LONGEST: usize = 100;
        write!(f, "{}", Shown::os(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {}", Shown(&key[..key.len().min(LONGEST)]))?;
        }
        match self.severity {
            Severity::Fault | Severity::Notice => write!(f, ": {}", self.text),
            Severity::NoEffect => write!(f, ": no effect: {}", self.text),
        }
    }
}
