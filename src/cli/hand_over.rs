//! The arguments of setup and cleanup.

use std::path::Path;

use clap::ArgMatches;

use super::{arguments, descriptors, environment};
use crate::batch::Retries;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;

/// The names of the arguments.
pub const NAMES: [&str; 5] = ["glexec", "proxy", "sandbox", "max-retries", "min-delay"];

/// A sandbox to hand over, or to take back.
pub struct HandOver {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// The switcher that leads to the job user.
    pub switcher: Switcher,
    /// How often, and after which delay, a failed call of the switcher is repeated.
    pub retries: Retries,
}

impl HandOver {
    /// Reads the arguments.
    pub fn from_arguments(matches: &ArgMatches) -> anyhow::Result<HandOver> {
        let [glexec, proxy, sandbox, max_retries, min_delay] = arguments::exactly(matches)?;
        let retries = arguments::retries(&max_retries, &min_delay)?;
        descriptors::raise_limit()?;
        let sandbox = Sandbox::find(Path::new(&sandbox), &proxy)?;
        let switcher = Switcher::new(&glexec, sandbox.credential(), environment::idle_timeout()?)?;
        let switcher = switcher.with_handover(environment::handover()?);
        Ok(HandOver { sandbox, switcher, retries })
    }
}
