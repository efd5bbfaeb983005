//! Which way a call takes: with root's rights, through a daemon, or without privilege.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use command::refusal::{Refusal, Result};
use error::Error;
use hooks::trust::{self, Owners};
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

/// How a call without privilege is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unprivileged {
    /// By the account daemon that listens at this path.
    Daemon(PathBuf),
    /// By this process, with subordinate ids.
    Rootless,
}

/// Whether the configuration, if this process may read it, gives accounts root directories.
pub fn has_root_directories() -> bool {
    Config::load().is_ok_and(|config| config.root_directories.is_some())
}

/// How a call without privilege is served. 202 where the configuration allows only another way. A
/// caller that may not read the configuration gets what it would get without one. Also returns
/// whether the configuration closes the world of payloads.
pub(crate) fn for_unprivileged() -> Result<(Unprivileged, bool)> {
    let config = match Config::load() {
        Err(ConfigError::Missing) => Config::default(),
        Err(ConfigError::Unusable(Error::System { cause: Errno::EACCES, .. })) => Config::default(),
        loaded => loaded?,
    };
    let is_closed = config.world_is_closed;
    match config.door {
        Door::Rootless => Ok((Unprivileged::Rootless, is_closed)),
        Door::Auto if !is_there(&config.daemon_socket) => Ok((Unprivileged::Rootless, is_closed)),
        Door::Auto | Door::Daemon => Ok((Unprivileged::Daemon(config.daemon_socket), is_closed)),
        Door::Setuid => Err(Refusal::internal(
            "the configuration says door = setuid, but this process has not got root's rights: \
             glexec must be root's and set-user-ID, on a file system that is not mounted nosuid, \
             and not be started by a tracer or with no_new_privs",
        )),
    }
}

/// The word for how a payload of an unprivileged call would be run.
pub(crate) fn mode() -> &'static str {
    match for_unprivileged() {
        Ok((Unprivileged::Daemon(_), _)) => "daemon",
        _ => "rootless",
    }
}

/// Whether an unprivileged call would be served by the account daemon.
pub fn asks_daemon() -> bool {
    mode() == "daemon"
}

/// Whether a socket of root's is at a path that only root can change.
pub(crate) fn is_there(socket: &Path) -> bool {
    let Ok(found) = std::fs::symlink_metadata(socket) else { return false };
    let Some(directory) = socket.parent() else { return false };
    found.file_type().is_socket()
        && found.uid() == 0
        && trust::open_directory(directory, &Owners::ROOT).is_ok()
}

/// That a call hands no directory over around a payload: after a set-user-ID start the descriptor
/// for its reports was closed with all others, and the account daemon does not get it.
pub(crate) fn no_hand_over() -> Refusal {
    Refusal::copy(
        "--hand-over is not for a set-user-ID start or the account daemon: use --give and --take, \
         or copy",
    )
}

/// That a call asks for what only the account daemon does.
pub(crate) fn only_daemon() -> Refusal {
    Refusal::client(
        "only the account daemon does this, and this call would not be served by it: an \
         administrator decides that (glexecd(8), and door in glexec.conf(5))",
    )
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
