//! An identity switcher over sudo. It runs as the caller, and becomes sudo, which becomes the
//! command: the process id stays.
//!
//! It guards nothing: it has the caller's rights, and the caller may bend it (another map, another
//! sudo, or sudo called directly). What may be run as whom is decided by sudoers alone. The checks
//! here catch mistakes.
//!
//! - [`command`]: the command line;
//! - [`adapter`]: the whole way, from the words of the call to sudo's;
//! - [`map`]: which account a credential of the caller's stands for;
//! - [`accounts`]: the names and numbers of accounts;
//! - [`refusal`]: why sudo is not called.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod accounts;
pub mod adapter;
pub mod command;
pub mod map;
pub mod refusal;
