//! `glexec-sudo`: an identity switcher over sudo. It runs as the caller and becomes sudo, which
//! becomes the command: the process id stays.
//!
//! It protects nothing: it has the caller's rights, and the caller can call it with another map or
//! another sudo, or call sudo itself. Only sudoers decides which command may run as which account.
//! The checks here find mistakes.
//!
//! - [`command`]: the command line, the help text;
//! - `adapter`: all steps from the call of this program to that of sudo;
//! - `map`: the account that a credential of the caller's maps to.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod adapter;
pub mod command;
mod map;
