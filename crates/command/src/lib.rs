//! The edge of a program that runs near privilege, without a parser of options and without a writer
//! of JSON from elsewhere: one table says which options there are, and parser, help, man page and
//! completion come from it.
//!
//! - [`program`]: the table, the parser, and the help text;
//! - [`log`]: one JSON object a line for each operation;
//! - [`caller`]: what each program does first, and how it speaks to its caller.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod caller;
pub mod log;
pub mod program;

pub use caller::{as_the_caller, say};
pub use program::{Call, Flag, Program, flag};
