//! Control groups of version 2 (cgroups(7)) for payloads: a group is made for one payload, below a
//! group that belongs to this process's user or that root uses, and removed after it.
//!
//! - [`Place`]: where a group can be made, and which controllers it can have there;
//! - [`Group`]: one group: its limits, its processes, what they have used, and its end.
//!
//! A group is locked by the process that has made it (flock(2) on its directory). So a group that
//! can be locked is one whose process was killed; it is ended and removed when the next one is made
//! in the same place, or by [`Place::sweep`].

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod files;
mod group;
mod place;

pub use group::Group;
pub use place::Place;
