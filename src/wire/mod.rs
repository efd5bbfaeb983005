//! What crosses between the two identities. Everything read here is hostile until it has been checked.
//!
//! - [`frame`]: the messages between a helper and its agent, and their bytes;
//! - [`channel`]: sending and receiving them over a socket;
//! - [`halt`]: ending a transfer before it is done;
//! - [`tally`]: what both sides say of a tree, and of a hunt;
//! - [`launch`]: the starter's side of a job's start, as the job wrapper speaks it;
//! - [`v2`]: the syntax of a job's environment.
#![forbid(unsafe_code)]

pub mod channel;
pub mod frame;
pub mod halt;
pub mod launch;
pub mod tally;
pub mod v2;

pub use channel::{Broken, Channel};
pub use frame::Frame;
pub use halt::Halt;
pub use tally::{Attributes, Dropped, Hunt, Links, Needs, Totals};
