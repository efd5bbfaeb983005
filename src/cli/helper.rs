//! The call of a helper, from its command line to its exit status.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::{ArgMatches, Command};
use command::say;

use super::arguments::{self, NotParsed};
use super::{log, notice};
use crate::batch::Report;
use crate::batch::error::{HelperError, HelperStatus};

/// A call of a helper.
pub struct HelperCall {
    /// The arguments.
    pub matches: ArgMatches,
    name: String,
    started: Instant,
}

impl HelperCall {
    /// Prepares this process and parses the command line. If there is no operation to do, returns
    /// the exit status: help was printed, or there is a usage error.
    pub fn start(definition: Command) -> Result<HelperCall, ExitCode> {
        sys::signal::default_sigchld();
        let started = Instant::now();
        let name = definition.get_name().to_owned();
        let matches = match arguments::parse(definition, std::env::args_os()) {
            Ok(matches) => matches,
            Err(NotParsed::HelpPrinted) => return Err(ExitCode::SUCCESS),
            Err(NotParsed::UsageError(message)) => {
                say(&name, message);
                return Err(ExitCode::from(HelperStatus::BadInput as u8));
            }
        };
        let call = HelperCall { matches, name, started };
        // The caller's other descriptors must not reach the switcher.
        match sys::inherited::set_cloexec_above_2().context("cannot close the caller's descriptors")
        {
            Ok(()) => Ok(call),
            Err(error) => Err(call.end(&Report::new(&mut notice::print), Err(error.into()))),
        }
    }

    /// Prints the error, if there is one, writes the log line, and returns the exit status.
    pub fn end(&self, report: &Report<'_>, result: Result<(), HelperError>) -> ExitCode {
        let (status, error) = match result {
            Ok(()) => (HelperStatus::Success, None),
            Err(failure) => (failure.status, Some(failure.to_string())),
        };
        if let Some(error) = &error {
            say(&self.name, error);
        }
        let facts = log::Facts {
            helper: &self.name,
            report,
            took: self.started.elapsed(),
            status: Some(status as u8),
            error,
        };
        if let Err(warning) = log::write(&facts) {
            say(&self.name, warning);
        }
        ExitCode::from(status as u8)
    }
}

/// Prepares this process for an operation that creates files: their modes do not depend on the
/// caller's umask, and a write beyond the limit of a file's size is an error, not a signal.
pub fn prepare_to_create_files() {
    sys::process::umask(0o077);
    sys::signal::ignore_sigxfsz();
}
