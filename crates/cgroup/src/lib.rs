//! Control groups of version 2 (cgroups(7)) for payloads.
//!
//! - [`Cgroup`]: a group by its path: its processes, its limits, what they have used, and its end;
//! - [`Limits`]: what a payload may use, as a group can hold it;
//!
//! and for a user to whom a group was delegated:
//!
//! - [`Place`]: where a group can be made, and which controllers it can have there;
//! - [`Group`]: one that this process has made.
//!
//! Such a group is locked by the process that has made it (flock(2) on its directory). So a group
//! that can be locked is one whose process was killed; it is ended and removed when the next one is
//! made in the same place, or by [`Place::sweep`].

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod cgroup;
mod files;
mod group;
mod limits;
mod place;

pub use cgroup::Cgroup;
pub use group::Group;
pub use limits::Limits;
pub use place::Place;
