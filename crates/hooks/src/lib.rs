//! Scripts of the administrator that run around a payload: which files are trusted.
//!
//! The crate runs as whoever calls it. It knows no configuration: callers pass users, groups, paths
//! and limits.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod access_list;
pub mod trust;
