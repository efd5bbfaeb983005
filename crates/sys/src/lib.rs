//! System calls as safe functions, in types of this crate, of nix, and of the standard library. The
//! only crate of the project that may contain unsafe code: all others forbid it.
//!
//! It knows nothing of sandboxes or switchers. No other crate makes system calls, except through
//! the standard library.
//!
//! A function whose name is that of a system call makes that call; its manual page applies.
//!
//! # What is checked instead of promised
//!
//! Every public function here is safe: no call of it, in any order and from any thread, can break
//! the rules of memory or of the ownership of descriptors. Since no other crate can call an
//! `unsafe fn`, what such a function would ask its caller to promise is checked, or made
//! impossible:
//!
//! - *A fork has one thread.* The child of a process with several threads may find locks taken
//!   without limit. Each function of [`fork`] counts the threads in /proc/self/task, and fails with
//!   EBUSY if there is another one. The count cannot change before the fork: the only thread is in
//!   this crate. The functions of [`inherited`] that close descriptors do the same.
//! - *Descriptors have one owner.* Standard input is not taken but duplicated ([`stdio`]), so a
//!   second call does no harm. [`inherited`] closes only descriptors that came through execve(2),
//!   which no value owns; those that values own are not closed but refer to the null device
//!   afterwards.
//! - *Child processes of the standard library* get their settings from [`spawn`]: no caller's
//!   closure runs between fork and exec.
//!
//! The user and group ids, the umask, the working directory, the limits and the actions of signals
//! belong to the whole process. To change them is safe, but other threads see the change; the
//! programs do so while they have one thread.

#![warn(clippy::incompatible_msrv)]

pub mod access;
pub mod affinity;
pub mod dir;
mod entries;
pub mod environment;
pub mod exec;
pub mod fd;
pub mod file;
pub mod file_lease;
pub mod flock;
pub mod flock_holders;
pub mod fork;
pub mod identity;
pub mod inherited;
pub mod ipc;
pub mod keyring;
pub mod landlock;
pub mod mount;
pub mod mount_tree;
pub mod name;
pub mod namespace;
pub mod network;
pub mod o_path;
pub mod owner;
pub mod passed;
pub mod pidfd;
pub mod prctl;
pub mod proc;
pub mod process;
pub mod rlimit;
pub mod scheduling;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod space;
pub mod spawn;
pub mod stat;
pub mod stdio;
pub mod switch;
pub mod wait;
pub mod xattr;

pub use dir::{Dir, Rename};
pub use name::{Name, OwnedName};
pub use nix::errno::Errno;
pub use nix::unistd::{Gid, Pid, Uid};
pub use o_path::OPath;
pub use owner::Owner;
pub use passed::Passed;
pub use stat::{Kind, Stat, Time};

/// What a system call returns.
pub type Result<T> = std::result::Result<T, Errno>;

/// The error number of a call of the standard library; EIO if it has none.
pub fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
