//! What the programs at a change of user share. They link few crates of others: so the parser of
//! options and the writer of JSON are here.
//!
//! - [`program`]: a table of options; the parser, the help text, man pages and completions are made
//!   from it; [`leading`]: the parser for options that precede a command; `anywhere`: for options
//!   and operands in any order;
//! - [`log`]: one line of JSON for each operation;
//! - [`caller`]: the check that each program makes first, and messages for the caller;
//! - [`refusal`]: why an identity switcher does not run a command, and its exit status;
//! - [`credential`]: reads a credential;
//! - [`accounts`]: accounts, by name or user id;
//! - [`groups`]: groups, and those of an account;
//! - [`payload`]: the last steps of a payload's process;
//! - [`replace`]: replaces a file by one rename;
//! - [`executable`]: where a program is found by its name;
//! - [`location`]: where a file is, in any mount namespace;
//! - [`query`]: asks a program of the system, with a time limit;
//! - [`utc`]: times in UTC.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod accounts;
mod anywhere;
pub mod caller;
pub mod credential;
pub mod executable;
pub mod groups;
pub mod leading;
pub mod location;
pub mod log;
pub mod payload;
pub mod program;
pub mod query;
pub mod refusal;
pub mod replace;
pub mod utc;

pub use caller::{as_the_caller, say};
pub use program::{Flag, Parsed, Program, flag};
pub use refusal::{Refusal, Status};
