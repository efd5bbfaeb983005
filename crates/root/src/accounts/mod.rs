//! Accounts on lease, for the account daemon: who may ask for them, which there are, and which
//! client has which one until when.
//!
//! What root writes:
//!
//! - [`clients`]: the users that may connect to the daemon;
//! - [`list`]: the accounts, and who owns which.
//!
//! What is told of it:
//!
//! - [`audit`]: who had which account when.

pub mod audit;
pub mod clients;
pub mod list;
