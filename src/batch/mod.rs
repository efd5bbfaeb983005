//! Everything that runs as the batch user, before and after a job: the user that owns the pilot and
//! the credentials.
//!
//! - [`setup`], [`run`], [`cleanup`], [`kill`], [`update_proxy`]: the operations of the helpers;
//! - [`pilot`]: all of them in one command, for pilots; [`doctor`]: whether a node can run
//!   payloads;
//! - [`wrap`]: the job of a starter that has no helpers (today's HTCondor);
//! - [`sandbox`]: a sandbox and its state; [`ticket`]: one helper at a time works on it;
//! - [`identity`]: the mark of a job's family, and the id in the log; [`credential`]: reading one;
//! - [`switcher`]: calls of the identity switcher; [`agent`]: the helper's side of the protocol
//!   with the agent behind it; [`retry`]: repeating a call after a temporary failure;
//! - [`handover`]: by a change of owner or by a copy; [`ownership`]: the former; [`space`]: whether
//!   there is room for a copy; [`temporary_directory`]: a directory of the payload's user;
//! - [`report`]: what an operation reports besides its result; [`error`]: why it failed.

pub mod agent;
pub mod cleanup;
pub mod credential;
pub mod doctor;
pub mod error;
pub mod handover;
pub mod identity;
pub mod kill;
mod ownership;
pub mod pilot;
pub mod report;
pub mod retry;
pub mod run;
pub mod sandbox;
pub mod setup;
mod space;
pub mod switcher;
pub mod temporary_directory;
mod ticket;
pub mod update_proxy;
pub mod wrap;

pub use report::Report;
pub use retry::Retries;
