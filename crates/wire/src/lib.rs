//! What crosses between the two identities. Everything read here is hostile until it has been
//! checked.
//!
//! - [`frame`]: the messages between a helper and its agent, and their bytes;
//! - [`channel`]: sending and receiving them over a socket;
//! - [`halt`]: ending a transfer before it is done;
//! - [`tally`]: what both sides say of a tree, and of a hunt;
//! - [`launch`]: the starter's side of a job's start, as the job wrapper speaks it;
//! - [`v2`]: the syntax of a job's environment.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod channel;
pub mod frame;
pub mod halt;
pub mod launch;
pub mod tally;
pub mod v2;

pub use channel::Channel;
pub use frame::Frame;
pub use halt::Halt;
pub use tally::{Attributes, Dropped, Hunt, Links, Needs, Totals};

/// The variable that asks the project's own switcher to end exactly as its payload does, by the
/// same signal or with the same status, where the caller knows by other means whether the payload
/// began.
pub const EXACT_STATUS: &str = "GLEXEC_EXACT_STATUS";
