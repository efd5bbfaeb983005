//! What runs as the job user, behind the switcher. It never has the batch user's rights, and knows
//! that the batch user trusts nothing it says.
//!
//! - [`agent_command`], [`operations`]: the one program that the helpers call through the switcher;
//! - [`serve`]: the operation for a sandbox: receive it, give it back, replace its proxy;
//! - [`enter`]: the operation that puts the wrapper into the sandbox;
//! - [`kill`]: the operations that send signals: to one process, or to a whole family;
//! - [`hunt`]: how a signal gets to every member of a family;
//! - [`watch`]: the operation that ends a family when its pilot is gone;
//! - [`family`]: who the members are;
//! - [`remains`]: what an account leaves behind;
//! - [`monitor`]: what to do below a sudo that stays;
//! - [`helper`]: the socket to the helper;
//! - [`wrapper_command`], [`wrapper`]: the job wrapper, which turns the starter's words into the
//!   job's start;
//! - [`environment`]: the job's environment.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod agent_command;
pub mod enter;
pub mod environment;
pub mod family;
pub mod helper;
pub mod hunt;
pub mod kill;
pub mod monitor;
pub mod operations;
pub mod remains;
pub mod serve;
pub mod watch;
pub mod wrapper;
pub mod wrapper_command;
