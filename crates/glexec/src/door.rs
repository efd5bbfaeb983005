//! Which way a call takes: with root's rights, through a daemon, or without privilege.

use std::os::unix::fs::MetadataExt as _;

use command::refusal::{Refusal, Result};
use error::Error;
use root::config::{Config, ConfigError, Door};
use root::sanitize::Start;
use sys::switch::{self, Identity};
use sys::{Errno, environment, identity, prctl, process, signal};

/// What rights this process has that its caller does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// None.
    None,
    /// Root's: the file of this program is root's and set-user-ID.
    Root,
    /// Others: those of another user or group, or capabilities.
    Other,
}

/// The rights that the file of this program has given to this process. A caller that is root counts
/// as any other: if the file is set-user-ID, it gives root's rights.
pub(crate) fn privilege() -> Privilege {
    let is_root = process::geteuid().is_root();
    match identity::has_file_privileges() {
        true if is_root => Privilege::Root,
        true => Privilege::Other,
        false if is_root && is_set_user_id() => Privilege::Root,
        false => Privilege::None,
    }
}

/// Whether the file of this program is root's and set-user-ID.
fn is_set_user_id() -> bool {
    const SET_USER_ID: u32 = 0o4000;
    let program = std::fs::metadata("/proc/self/exe");
    program.is_ok_and(|found| found.uid() == 0 && found.mode() & SET_USER_ID != 0)
}

/// Refuses a call without privilege where the configuration allows only another way. A caller that
/// may not read the configuration gets what it would get without one. Returns whether the
/// configuration closes the world of payloads.
pub(crate) fn for_unprivileged() -> Result<bool> {
    match Config::load() {
        Ok(Config { door: Door::Auto | Door::Rootless, world_is_closed, .. }) => {
            Ok(world_is_closed)
        }
        Err(ConfigError::Missing) => Ok(false),
        Err(ConfigError::Unusable(Error::System { cause: Errno::EACCES, .. })) => Ok(false),
        Ok(Config { door: Door::Setuid, .. }) => Err(Refusal::internal(
            "the configuration says door = setuid, but this process has not got root's rights: \
             glexec must be root's and set-user-ID, on a file system that is not mounted nosuid, \
             and not be started by a tracer or with no_new_privs",
        )),
        Ok(Config { door: Door::Daemon, .. }) => Err(no_daemon()),
        Err(error) => Err(error.into()),
    }
}

/// That there is no daemon to ask.
pub(crate) fn no_daemon() -> Refusal {
    Refusal::internal(
        "the configuration says door = daemon, but this version has no account daemon: use auto, \
         setuid or rootless",
    )
}

/// That a call which was started set-user-ID hands no directory over around a payload: the
/// descriptor for its reports was closed with all others.
pub(crate) fn no_hand_over() -> Refusal {
    Refusal::copy("--hand-over is not for a set-user-ID start: use --give and --take, or copy")
}

/// Gives up root's rights for good, and proves it.
pub(crate) fn become_caller(start: &Start) -> Result<()> {
    let failed = |cause| Refusal::internal(format!("cannot become the caller for good: {cause}"));
    if start.caller.user.is_root() {
        return Ok(());
    }
    switch::become_for_good(&start.caller, &Identity::root()).map_err(failed)
}

/// Gives up root's rights for good, and gives the process back what its caller had set for it: it
/// is as if the file of the program were not set-user-ID.
pub(crate) fn become_unprivileged(start: &Start) -> Result<()> {
    become_caller(start)?;
    let failed = |cause| Refusal::internal(format!("cannot set what the caller had set: {cause}"));
    // newuidmap(1) requires that the process's files in /proc are the caller's. What this process
    // has read until now is no secret of the caller's or of root's but the configuration.
    prctl::set_dumpable().map_err(failed)?;
    environment::set(start.environment.iter()).map_err(failed)?;
    start.limits.restore().map_err(failed)?;
    signal::unblock_all().map_err(failed)
}
