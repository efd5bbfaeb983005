//! What passes between processes of two users: a program of the batch user and the agent, and the
//! starter and the job wrapper. Everything that is read here is untrusted until it is checked.
//!
//! - [`operation`]: the agent's arguments;
//! - [`frame`]: the messages between a helper and its agent, as bytes;
//! - `channel`: sending and receiving these messages over a socket;
//! - `halt`: ending a transfer before it is complete;
//! - `values`: the values in these messages that describe trees and hunts;
//! - [`daemon`]: the messages between the account daemon and its clients;
//! - [`launch`]: the messages between the starter and the job wrapper;
//! - [`v2`]: the syntax of a job's environment;
//! - [`verified`]: the answer about a credential's certificates.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod channel;
pub mod daemon;
pub mod frame;
mod halt;
pub mod launch;
pub mod operation;
mod payload_limits;
pub mod v2;
mod values;
pub mod verified;

pub use channel::Channel;
pub use frame::Frame;
pub use halt::Halt;
pub use operation::{Operation, RemainsPolicy};
pub use payload_limits::PayloadLimits;
pub use values::{Attributes, Dropped, Hunt, Links, Needs, Totals};

/// The environment variable that makes the project's switcher, `glexec`, end exactly as its payload
/// ends: by the same signal, or with the same status. For callers that learn in another way whether
/// the payload was started.
pub const EXACT_STATUS: &str = "GLEXEC_EXACT_STATUS";

/// The environment variable that lets a payload of the account daemon go on when its `glexec` ends.
pub const LINGER: &str = "GLEXEC_LINGER";
