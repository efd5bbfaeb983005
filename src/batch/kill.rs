//! Sending a signal to a process of the job user's.

use std::ffi::OsStr;
use std::process::Stdio;

use super::retry::{Attempt, Failure, Patience, retrying};
use super::switcher::Switcher;
use crate::error::Error;
use crate::sys::process;

/// Sends signal `number` to `pid`, through the switcher. `notice` gets the lines for the caller that are no failures.
pub fn kill(
    switcher: &Switcher,
    pid: i32,
    number: i32,
    patience: Patience,
    notice: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    retrying(patience, notice, || {
        if !process::exists(pid) {
            return Err(Error::refused(format!("process {pid}"), "there is no such process").into());
        }
        let [user, pid, number] = [process::user().to_string(), pid.to_string(), number.to_string()];
        let errand = ["signal", &user, &pid, &number].map(OsStr::new);
        let ended = switcher.start(errand, Stdio::null())?.end();
        match ended.status {
            Some(0) => Ok(()),
            _ => Err::<(), Attempt>(ended.attempt(None)),
        }
    })
}
