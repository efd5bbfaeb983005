//! The configuration as it is on this machine.

use std::fmt;
use std::path::Path;

use command::refusal::Refusal;
use error::Error;

use super::finding::Finding;
use super::{Config, DROP_INS, FILE, files, read};

/// Why there is no configuration. `Display` gives one line.
#[derive(Debug)]
pub enum ConfigError {
    /// [`FILE`] does not exist. Drop-ins without it are not read.
    Missing,
    /// A file cannot be read, or it is not trusted.
    Unusable(Error),
    /// Values or lines are wrong: at least one [`Finding`] that is a fault.
    Faults(Vec<Finding>),
}

impl Config {
    /// Reads [`FILE`] and [`DROP_INS`]. They must belong to root, and no other user may be able to
    /// change them or a directory on their paths; the files may also belong to the account
    /// `glexec`. What the configuration names is checked where it is used.
    pub fn load() -> Result<Config, ConfigError> {
        let (config, findings) = load()?;
        match findings.iter().any(Finding::is_fault) {
            true => Err(ConfigError::Faults(findings)),
            false => Ok(config),
        }
    }
}

/// The configuration and all findings in its files. The error says why none could be read.
pub(crate) fn load() -> Result<(Config, Vec<Finding>), ConfigError> {
    let sources = files::read_all(Path::new(FILE), Path::new(DROP_INS));
    match sources.map_err(ConfigError::Unusable)? {
        None => Err(ConfigError::Missing),
        Some(sources) => Ok(read::evaluate(&sources)),
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Missing => {
                write!(f, "the configuration {FILE} does not exist: an administrator must write it")
            }
            ConfigError::Unusable(error) => write!(f, "the configuration is not usable: {error}"),
            ConfigError::Faults(findings) => {
                let mut faults = findings.iter().filter(|finding| finding.is_fault());
                if let Some(first) = faults.next() {
                    write!(f, "the configuration is not valid: {first}")?;
                }
                match faults.count() {
                    0 => Ok(()),
                    more => write!(f, " (and {more} more: run glexec --check-config)"),
                }
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Refusal::internal(error.to_string())
    }
}
