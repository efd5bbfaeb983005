//! `glexec`: the project's own identity switcher. It runs a payload as a subordinate user of the
//! caller's, without privilege; or, set-user-ID root, as an account that a policy of root's names.
//!
//! - [`command`]: the command line, the help text, the exit status;
//! - `door`: which way a call takes;
//! - `setuid`: the way with root's rights, whose steps are those of the crate `root`.
//! - `daemon`: the way through the account daemon, whose client it is.
//!
//! Without privilege, from the command line to the end of a payload:
//!
//! - `request`: what the call asks for, from its environment, with `credential`;
//! - `rootless`: the steps of a call, in their order; it calls all of the following:
//! - [`ranges`]: the caller's subordinate ids;
//! - `lease`: which of them the credential has, by the table of leases;
//! - `payload`: the payload's process, until it executes the command;
//! - `guard`: the process above the payload, which starts it; `directory`: what the payload has
//!   meanwhile;
//! - `supervise`: the caller's process while the payload runs;
//! - `call_log`: the line of the log.
//!
//! - `owner`: change of the owner of a directory, instead of a payload or around one.
//!
//! Used by several of these: `idmap` (maps the ids of a namespace), `installed` (the one payload
//! that may use openat2(2)), `children` (kills descendants).

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod call_log;
mod children;
pub mod command;
mod credential;
mod daemon;
mod directory;
mod door;
mod guard;
mod idmap;
mod installed;
mod lease;
mod owner;

mod payload;
pub mod ranges;
mod request;
mod rootless;
mod scripts;
pub mod sessions;
mod setuid;
mod supervise;

pub use door::{asks_daemon, has_root_directories};
pub use lease::free_ids;

use ::command::location;
