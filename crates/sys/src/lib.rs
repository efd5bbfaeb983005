//! Thin safe wrappers over system calls: what the kernel offers, in our types. The only unsafe code
//! of the project.
//!
//! Nothing here knows of sandboxes or switchers; nothing outside calls the kernel in another way.

#![warn(clippy::incompatible_msrv)]

pub mod attribute;
pub mod dir;
pub mod fd;
pub mod file;
pub mod ipc;
pub mod mount;
pub mod name;
pub mod namespace;
pub mod passed;
pub mod proc;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod space;
pub mod stat;

pub use dir::{Dir, Rename};
pub use name::{Name, OwnedName};
pub use nix::errno::Errno;
pub use nix::unistd::{Gid, Pid, Uid};
pub use passed::Passed;
pub use stat::{Kind, Stat, Time};

/// What a system call returns.
pub type Result<T> = std::result::Result<T, Errno>;

/// The error of a standard-library call as the kernel's number.
pub fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
