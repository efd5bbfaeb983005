//! The environment of this process (environ(7)).

use std::ffi::OsString;

use super::Result;
use super::process::require_one_thread;

/// Takes all variables out of the environment: nothing that this process calls reads them any more.
/// EBUSY if this process has another thread.
pub fn take() -> Result<Vec<(OsString, OsString)>> {
    require_one_thread()?;
    let variables = std::env::vars_os().collect();
    // SAFETY: no other thread reads the environment meanwhile: there is none.
    unsafe { libc::clearenv() };
    Ok(variables)
}
