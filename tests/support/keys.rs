//! Keys in the kernel's keyrings (keyrings(7)).

use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The name of the caller's key in what /proc/keys shows.
pub const KEY: &str = "gh-test-key";

/// Makes a command start with a session keyring that contains a key.
pub fn with_a_key(command: &mut Command) -> &mut Command {
    let add = || {
        // SAFETY: strings, and plain numbers: the calls of keyctl_join_session_keyring(3) and
        // add_key(2).
        let added = unsafe {
            libc::syscall(libc::SYS_keyctl, 1, c"gh-test".as_ptr());
            libc::syscall(
                libc::SYS_add_key,
                c"user".as_ptr(),
                c"gh-test-key".as_ptr(),
                c"x".as_ptr(),
                1,
                -3,
            )
        };
        if added < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: only system calls.
    unsafe { command.pre_exec(add) }
}
