//! The errand that puts the wrapper into the sandbox.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use error::{Context as _, Error};
use sys::{dir, process, signal};

use super::environment::FAMILY;
use super::monitor;

/// Makes the sandbox the working directory and becomes the wrapper, with the family mark in its
/// environment. Returns only the reason why it could not.
///
/// Not every switcher makes a session keyring for whom it starts (sudo's is pam_keyinit(8)'s work):
/// the job gets one here.
///
/// The sandbox must be the own one: a switcher that maps to another user than setup's, or to the
/// batch user itself, is noticed here before the job runs.
pub fn enter(
    sandbox: &Path,
    family: &OsString,
    wrapper: &OsString,
    arguments: &[OsString],
) -> Error {
    let entered = process::chdir(sandbox).at("enter the sandbox", sandbox);
    let examined =
        entered.and_then(|()| dir::stat_path(Path::new(".")).at("examine the sandbox", sandbox));
    match examined {
        Err(error) => return error,
        Ok(stat) if stat.uid() != process::user() => {
            let (owner, user) = (stat.uid(), process::user());
            return Error::refused(
                sandbox,
                format!("it belongs to uid {owner}, but the switcher runs commands as uid {user}"),
            );
        }
        Ok(_) => {}
    }
    if let Err(error) = process::leave_session_keyring().at("leave the caller's keys, for", wrapper)
    {
        return error;
    }
    if let Err(error) = signal::reset().at("reset the signals for", wrapper) {
        return error;
    }
    if monitor::is_below(process::getpid()) {
        if let Err(error) = process::carry_on_in_child().at("start a child for", wrapper) {
            return error;
        }
    }
    let cause = process::execute_command(Command::new(wrapper).args(arguments).env(FAMILY, family));
    signal::survive_broken_pipes();
    Error::System { step: "execute the job wrapper", path: wrapper.as_bytes().to_vec(), cause }
}
