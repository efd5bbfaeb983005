//! Run each batch job as its own Unix user, without giving the batch system root.
//!
//! This package contains the programs that run as the batch user:
//!
//! - [`cli`]: their arguments, help texts and exit statuses;
//! - `batch`: their operations.
//!
//! The crates contain the rest: `agent` runs as the job user; `glexec` and `glexec-sudo` change the
//! user; `wire` is the protocol between the two users; `tree` copies and removes directory trees;
//! `sys` makes the system calls; `command` has the command lines and the log of the programs near
//! privilege, and `error` the errors of all.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod batch;
pub mod cli;
