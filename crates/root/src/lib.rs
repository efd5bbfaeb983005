//! The steps of `glexec` that run as root, for a set-user-ID start and for a daemon alike.
//!
//! - [`door`]: the sequence of the steps of a call; it calls all of the following:
//! - [`origin`]: what differs between the two;
//! - [`sanitize`]: takes away what the caller has set for the process;
//! - [`caller`]: who calls, and whether that account may;
//! - [`credential`]: the caller's files, opened with the caller's rights;
//! - [`verify`]: whose a proxy is, by a process without privilege;
//! - [`mapping`]: which account a credential has;
//! - [`accounts`]: the accounts on lease, for the account daemon;
//! - [`target`]: whom a payload runs as;
//! - [`session`]: whether the command is a payload or an operation of the helpers;
//! - [`environment`]: the environment of a payload;
//! - [`payload`]: the payload's process, from root's rights to the command;
//! - [`world`]: what the payload sees and can write, if that is not the whole machine;
//! - [`root_directory`]: the payload's root directory, where the administrator gives it one;
//! - `start`: starts that process;
//! - `linger`: the parent while the payload runs;
//! - `family`: ends what the payload leaves; `processes`: all of an account;
//! - `epilogue`: runs the epilogue;
//! - [`limits`]: what a payload may use, and by what that is enforced; `watch`: by a look now and
//!   then;
//! - [`log`]: the lines of the log.
//!
//! What they follow:
//!
//! - [`config`]: the configuration, /etc/glexec.conf and its drop-ins;
//! - [`check`]: what is wrong with it, for `--check-config`;
//! - [`users`]: lists of users, such as those who may call;
//! - [`group_ranges`]: the groups that a batch system adds to a job.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod accounts;
pub mod caller;
pub mod check;
pub mod config;
pub mod credential;
pub mod door;
pub mod environment;
mod epilogue;
mod family;
pub mod group_ranges;
pub mod limits;
mod linger;
pub mod log;
pub mod mapping;
mod names;
pub mod origin;
pub mod payload;
mod processes;
pub mod root_directory;
pub mod sanitize;
mod scripts;
pub mod session;
mod start;
pub mod target;
#[cfg(test)]
mod test_account;
mod trusted;
pub mod users;
pub mod verify;
mod watch;
pub mod world;

pub use scripts::REGISTRY as SESSION_REGISTRY;
