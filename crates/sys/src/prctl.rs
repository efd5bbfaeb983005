//! Settings of this process (prctl(2)). Those of a thread are set for the calling thread.

use super::Result;

/// Whether no program that this process executes gains privileges: set-user-ID programs, such as
/// newuidmap(1) and sudo(8), do not work then (PR_GET_NO_NEW_PRIVS).
pub fn get_no_new_privs() -> bool {
    nix::sys::prctl::get_no_new_privs() == Ok(true)
}

/// No program that this thread executes gains privileges, and it cannot undo that
/// (PR_SET_NO_NEW_PRIVS).
pub fn set_no_new_privs() -> Result<()> {
    nix::sys::prctl::set_no_new_privs()
}

/// Descendants of this process that lose their parent become its children (PR_SET_CHILD_SUBREAPER).
pub fn set_child_subreaper() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// The kernel sends this process a signal when the thread that made it ends (PR_SET_PDEATHSIG). A
/// change of the user undoes the setting.
pub fn set_pdeathsig(signal: i32) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::try_from(signal)?)
}

/// Until this process executes a program, no other process of its user can trace it or open its
/// descriptors (PR_SET_DUMPABLE).
pub fn clear_dumpable() -> Result<()> {
    nix::sys::prctl::set_dumpable(false)
}

/// Undoes [`clear_dumpable`], and what a change of user has made of that setting.
pub fn set_dumpable() -> Result<()> {
    nix::sys::prctl::set_dumpable(true)
}
