//! Run each batch job as its own Unix user, without giving the batch system root.
//!
//! This package is the batch user's side and the edge:
//!
//! - [`cli`]: the arguments, help texts and exit statuses of each command;
//! - [`batch`]: runs as the batch user, who owns the pilot and its credentials.
//!
//! The crates are the other sides, and what all share: `agent` runs as the job user, `glexec` and
//! `glexec-sudo` change the user, `wire` is what crosses between the users, `tree` handles
//! directory trees, `sys` the system calls; `command` and `error` are how programs speak.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod batch;
pub mod cli;
