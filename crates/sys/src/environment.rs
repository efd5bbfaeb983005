//! The environment of this process (environ(7)).

use std::ffi::{OsStr, OsString};

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

/// Sets variables of the environment, but for names that hold a `=`. EBUSY if this process has
/// another thread.
pub fn set<'a>(variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>) -> Result<()> {
    require_one_thread()?;
    for (name, value) in variables {
        // The standard library panics for such a name, which a caller can choose.
        if name.is_empty() || name.as_encoded_bytes().contains(&b'=') {
            continue;
        }
        // SAFETY: no other thread reads the environment meanwhile: there is none.
        unsafe { std::env::set_var(name, value) };
    }
    Ok(())
}
