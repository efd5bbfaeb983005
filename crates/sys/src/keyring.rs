//! The session keyring (session-keyring(7)).

use super::{Errno, Result};

/// Joins a new session keyring, in place of the caller's, which may hold the caller's tickets and
/// keys. Without effect on a kernel without keyrings, or under a seccomp filter that forbids them.
pub fn join_new_session_keyring() -> Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1; // KEYCTL_JOIN_SESSION_KEYRING, linux/keyctl.h
    let no_name = std::ptr::null::<libc::c_char>();
    // SAFETY: without a name the kernel reads no memory of this process.
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, no_name) };
    match Errno::result(joined) {
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
        joined => joined.map(drop),
    }
}
