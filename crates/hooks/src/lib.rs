//! Scripts of the administrator that run around a payload: which files are trusted, what
//! environment they get, and how one runs; and gLExec's epilogue.
//!
//! The crate runs as its caller. It knows no configuration: callers pass users, groups, paths
//! and limits.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod access_list;
pub mod environment;
pub mod epilogue;
pub mod facts;
mod keeper;
mod links;
mod output;
pub mod report;
pub mod script;
pub mod session;
mod start;
pub mod trust;
