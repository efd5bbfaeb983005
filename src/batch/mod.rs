//! What runs as the batch user: who owns the pilot, its credentials, and the sandboxes before and
//! after a job.
//!
//! - [`setup`], [`run`], [`cleanup`], [`kill`], [`update_proxy`]: the commands;
//! - [`pilot`]: all of them in one command;
//! - [`doctor`]: whether a node is fit;
//! - [`sandbox`]: the state of a sandbox, told from what is on disk; [`ticket`]: one helper at a
//!   time works on it;
//! - [`identity`]: the mark of a job's family, and the id in the log; [`credential`]: reading one;
//! - [`switcher`]: calling the identity switcher, and what becomes of the call;
//! - [`agent`]: talking with the agent behind it;
//! - `space`: whether there is room for a copy;
//! - [`retry`]: calling again after a transient failure;
//! - [`report`]: what a command tells besides its outcome.

pub mod agent;
pub mod cleanup;
pub mod credential;
pub mod doctor;
pub mod identity;
pub mod kill;
pub mod pilot;
pub mod report;
pub mod retry;
pub mod run;
pub mod sandbox;
pub mod setup;
mod space;
pub mod switcher;
pub mod ticket;
pub mod update_proxy;

pub use report::Report;
pub use retry::{Failure, Patience};
