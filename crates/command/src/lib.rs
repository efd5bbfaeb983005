//! What the programs that run near privilege share. They have no option parser and no JSON writer
//! from other projects: one table says which options there are, and parser, help, man page and
//! completion come from it.
//!
//! - [`program`]: the table, the parser, and the help text;
//! - [`log`]: one JSON object a line for each operation;
//! - [`caller`]: what each program does first, and how it prints an error;
//! - [`refusal`]: why an identity switcher does not run a command, and its exit status;
//! - [`credential`]: reads a credential;
//! - [`accounts`]: the names and user ids of accounts;
//! - [`executable`]: where a program is found by its name;
//! - [`query`]: asks a program of the system, with a time limit.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod accounts;
pub mod caller;
pub mod credential;
pub mod executable;
pub mod log;
pub mod program;
pub mod query;
pub mod refusal;

pub use caller::{as_the_caller, say};
pub use program::{Call, Flag, Program, flag};
pub use refusal::{Refusal, Status};
