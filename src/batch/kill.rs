//! Sending a signal to a process of the job user's.

use std::ffi::OsStr;
use std::process::Stdio;

use super::report::Report;
use super::retry::{Attempt, Failure, Patience, retrying};
use super::switcher::Switcher;
use crate::error::Error;
use crate::sys::process;

/// Sends signal `number` to `pid`, through the switcher. `report` gets what the caller and the log want to know.
pub fn kill(
    switcher: &Switcher,
    pid: i32,
    number: i32,
    patience: Patience,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    retrying(patience, report, |_| {
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
