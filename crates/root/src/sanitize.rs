//! The first step: nothing that the caller has set for this process has an effect on what follows.
//!
//! A set-user-ID program gets everything but its rights from its caller: descriptors, environment,
//! umask, limits, signals, timers. Each is taken away here, before anything is read. What the
//! payload is to have again is kept as values.

use std::ffi::{OsStr, OsString};

use command::refusal::{Refusal, Result};
use sys::rlimit::SavedLimits;
use sys::switch::{self, Identity};
use sys::{Errno, environment, inherited, process, signal, stdio};

/// What a call was started with.
#[derive(Debug)]
pub struct Start {
    /// Who calls: the real user and group, and the groups.
    pub caller: Identity,
    /// The environment.
    pub environment: Variables,
    /// The permission bits that new files of the payload do not get.
    pub umask: u32,
    /// The limits of the payload.
    pub limits: SavedLimits,
}

/// The environment of the caller, which this process itself does not use.
#[derive(Debug, Default)]
pub struct Variables(Vec<(OsString, OsString)>);

impl Variables {
    /// These variables.
    pub fn new(variables: Vec<(OsString, OsString)>) -> Variables {
        Variables(variables)
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// All variables, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

/// Takes away what the caller has set, and makes this process root's alone: afterwards no other
/// user can signal it. To be called first, before the arguments are read.
pub fn sanitize() -> Result<Start> {
    let failed = |step: &'static str| {
        move |cause: Errno| Refusal::internal(format!("cannot {step}: {cause}"))
    };
    // Before all others: the steps below need descriptors, and a limit on processor time ends this
    // process in the middle of one.
    let limits = SavedLimits::repair().map_err(failed("raise the limits of this process"))?;
    stdio::open_missing().map_err(failed("open the null device"))?;
    inherited::close_inherited().map_err(failed("close the descriptors of the caller"))?;
    // Blocked until the payload: a signal does not end this process between two steps.
    signal::block_all().map_err(failed("block the signals"))?;
    signal::reset_actions();
    signal::ignore_sigpipe();
    process::clear_timers();
    let environment = environment::take().map_err(failed("empty the environment"))?;
    // Files of this process are private.
    let umask = process::umask(0o077);
    let caller = Identity::of_caller().map_err(failed("ask for the caller's ids"))?;
    switch::become_root().map_err(failed("become root"))?;
    Ok(Start { caller, environment: Variables(environment), umask, limits })
}
