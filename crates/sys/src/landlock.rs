//! Landlock (landlock(7)): what a process forbids itself and its descendants.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use super::{Errno, Result};

/// LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET of linux/landlock.h, since version 6 of the interface.
const SCOPE_ABSTRACT_UNIX_SOCKET: u64 = 1;
/// The first version that has scopes (Linux 6.12).
const WITH_SCOPES: libc::c_long = 6;

/// struct landlock_ruleset_attr.
#[repr(C)]
struct Attributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// Whether this kernel can keep a process from abstract sockets, by [`scope_abstract_sockets`].
pub fn has_scopes() -> bool {
    const VERSION: libc::c_uint = 1; // LANDLOCK_CREATE_RULESET_VERSION
    let none = std::ptr::null::<Attributes>();
    // SAFETY: without attributes the kernel reads no memory of this process.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    version >= WITH_SCOPES
}

/// From now on this thread, and all that it starts or executes, can connect or send to an abstract
/// Unix socket only if that socket is made by one of them (unix(7)); it cannot undo that. It also
/// cannot trace other processes. [`super::prctl::set_no_new_privs`] comes before. Fails where
/// [`has_scopes`] is false.
pub fn scope_abstract_sockets() -> Result<()> {
    let attributes = Attributes {
        handled_access_fs: 0,
        handled_access_net: 0,
        scoped: SCOPE_ABSTRACT_UNIX_SOCKET,
    };
    let length = size_of::<Attributes>();
    // SAFETY: the structure lives during the call and has this length; the kernel copies it.
    let ruleset = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(&attributes),
            length,
            0 as libc::c_uint,
        )
    };
    let ruleset = Errno::result(ruleset)?;
    // SAFETY: the kernel has made this descriptor for this process, and nothing else owns it. A
    // descriptor fits into its type.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset as libc::c_int) };
    let flags: libc::c_uint = 0;
    // SAFETY: the call reads no memory of this process.
    let status =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), flags) };
    Errno::result(status).map(drop)
}
