//! Run each batch job as its own Unix user, without giving the batch system root.
//!
//! The folders say *as whom* a line runs:
//!
//! - [`cli`]: the arguments, help texts and exit statuses of each command;
//! - [`batch`]: runs as the batch user, who owns the pilot and its credentials;
//! - [`job`]: runs as the job user, behind the identity switcher; it never trusts the batch user, nor the job;
//! - [`switch`]: runs as the caller, and then as somebody else: the project's own switcher;
//! - [`sudo`]: runs as the caller, and becomes sudo: the switcher over sudo;
//! - [`wire`]: what crosses between the two identities; everything read there is hostile;
//! - [`tree`]: walking, sending, building and removing directory trees by directory descriptor;
//! - [`sys`]: thin safe wrappers over system calls, and the only unsafe code.
//!
//! Dependencies point inward: `bin → cli → batch | job | switch | sudo → tree, wire → sys`.

#![deny(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod batch;
pub mod cli;
pub mod error;
pub mod job;
pub mod shown;
pub mod sudo;
pub mod switch;
pub mod sys;
pub mod tree;
pub mod wire;

pub use error::{Context, Error, Result};
