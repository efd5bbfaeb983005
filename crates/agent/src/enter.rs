//! The operation `enter`: makes the sandbox the working directory, and becomes the job wrapper.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use error::{Context as _, Error, Result};
use sys::{dir, exec, fork, keyring, process, signal};
use wire::PayloadLimits;

use super::environment::MARK;
use super::{limits, monitor};

/// Makes the sandbox the working directory and becomes the wrapper, with the mark in its
/// environment and these limits. Returns only the reason why it could not.
pub(crate) fn enter(
    sandbox: &Path,
    mark: &OsStr,
    limits: &PayloadLimits,
    wrapper: &Path,
    arguments: &[OsString],
) -> Error {
    // An agent that stays above the job has no limits.
    if let Err(error) = prepare(sandbox, wrapper).and_then(|()| limits::set(limits)) {
        return error;
    }
    let cause = exec::exec(Command::new(wrapper).args(arguments).env(MARK, mark));
    signal::ignore_sigpipe();
    let path = wrapper.as_os_str().as_bytes().to_vec();
    Error::System { step: "execute the job wrapper", path, cause }
}

/// All steps before the wrapper is executed.
///
/// The sandbox must belong to this user. If the switcher maps to another user than at setup, or to
/// the batch user, the job does not run.
fn prepare(sandbox: &Path, wrapper: &Path) -> Result<()> {
    process::chdir(sandbox).at("enter the sandbox", sandbox)?;
    let owner = dir::lstat(Path::new(".")).at("examine the sandbox", sandbox)?.uid();
    let user = process::geteuid();
    if owner != user {
        return Err(Error::refused(
            sandbox,
            format!("it belongs to uid {owner}, but the switcher runs commands as uid {user}"),
        ));
    }
    // Not every switcher creates a session keyring (with sudo, pam_keyinit(8) does): the job gets
    // one here.
    keyring::join_new_session_keyring().at("leave the caller's session keyring, for", wrapper)?;
    signal::reset_all().at("reset the signals for", wrapper)?;
    if monitor::is_below_sudo(process::getpid()) {
        fork::continue_in_child().at("start a child for", wrapper)?;
    }
    Ok(())
}
