//! Change of owner: a directory, with all below it, becomes the payload user's, or the caller's.
//!
//! - [`Order`]: what the options of a call ask for; `passed`: the same through a socket;
//! - [`worker`]: the process that changes owners, in a user namespace that maps the caller's ids
//!   and the payload user's, and no others. It ends with the process above it;
//! - [`confined`]: that process where the one above has root's rights;
//! - `give`, `take` and `undo`: its steps, in their order;
//! - [`HandOver`]: the same steps around a payload, by its guard;
//! - `target`: the directory, by descriptor, and the names that it gets; `users`: both users;
//! - `as_payload_user`: work with the payload user's rights;
//! - `link_targets`: copies in the place of links, with the payload user's rights;
//! - `report`: the line for standard output.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod as_payload_user;
pub mod confined;
mod give;
mod hand_over;
mod link_targets;
mod order;
mod passed;
mod report;
mod take;
mod target;
mod undo;
mod users;
pub mod worker;

use command::refusal::{Refusal, Result};

pub use self::hand_over::{Given, HandOver};
pub use self::order::Order;
use self::worker::Answer;

/// What the worker has answered: the report, one line.
pub fn result(answer: &[u8]) -> Result<String> {
    match Answer::from_bytes(answer) {
        Some(Answer::Done(report)) => Ok(report),
        Some(Answer::Refused(refusal)) => Err(refusal),
        None => Err(Refusal::internal(format!(
            "the process that changed the owner was killed; {AGAIN}"
        ))),
    }
}

/// What to do when a tree is left half changed.
const AGAIN: &str = "the same call again finishes it";
