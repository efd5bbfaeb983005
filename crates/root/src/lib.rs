//! The steps of `glexec` that run as root, for a set-user-ID start and for a daemon alike:
//!
//! - [`config`]: the configuration, /etc/glexec.conf and its drop-ins;
//! - [`users`]: lists of users, such as those who may call.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod config;
mod names;
#[cfg(test)]
mod test_account;
pub mod users;
