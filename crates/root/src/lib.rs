//! The steps of `glexec` that run as root, for a set-user-ID start and for a daemon alike:
//!
//! - [`config`]: the configuration, /etc/glexec.conf and its drop-ins;
//! - [`check`]: what is wrong with it, for `--check-config`;
//! - [`users`]: lists of users, such as those who may call;
//! - [`mapping`]: which account a credential has.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod check;
pub mod config;
pub mod mapping;
mod names;
#[cfg(test)]
mod test_account;
mod trusted;
pub mod users;
