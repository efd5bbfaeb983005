//! `glexec_accounts`: the administrator's command for the account daemon. It runs as root, and
//! needs no daemon: it changes the same files under the same locks.
//!
//! - [`command`]: the commands, and which of them a call is;
//! - [`add`], [`allow`], [`remove`], [`list`], [`lease`], [`release`], [`drain`], [`history`]: a
//!   command each, or two;
//! - `call`: what they share;
//! - `create`: makes accounts of this machine;
//! - [`legion`]: three of them under the names and with the usage of Legion;
//! - `output`: tables, times and lines of JSON.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod add;
pub mod allow;
mod call;
pub mod command;
mod create;
pub mod drain;
pub mod history;
pub mod lease;
pub mod legion;
pub mod list;
mod output;
pub mod release;
pub mod remove;
