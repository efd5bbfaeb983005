//! A payload's world: what it can see, write and reach beside its own processes.
//!
//! In the *shared* world a payload sees the machine as its user does. In the *closed* world it can
//! write to its sandbox, to directories that the caller names, and to a /tmp, /var/tmp and /dev/shm
//! of its own; all else is read-only. Homes, other sandboxes and the sockets of /run are not there.
//! What it leaves behind ends with it, since its mounts and its IPC objects do.
//!
//! - [`Spec`]: what a caller asks for, as options and as words;
//! - [`enter()`]: the steps, in the payload's process, while that still has the rights to mount;
//! - `view`: the tree of files as it is built, and the places in it where something is mounted;
//! - `places`: what of the machine is hidden and what is kept; `devices`: /dev; `names`:
//!   /etc/passwd and /etc/group;
//! - [`filter`]: what the payload can ask of the kernel.
//! - [`restrictions`]: what of this machine forbids user namespaces.
//!
//! The world is built in place: the mount namespace of the payload has the machine's mounts, which
//! become read-only, and what is different is mounted above. So a payload without capabilities
//! cannot uncover anything: it may not unmount, and a user namespace that it makes gets the mounts
//! as one piece (mount_namespaces(7), "locked"). Where a new root is necessary it is entered with
//! pivot_root(2), and the old one is not in the namespace any more.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod devices;
mod enter;
pub mod filter;
mod names;
mod places;
mod resolve;
pub mod restrictions;
mod size;
mod spec;
mod view;

pub use enter::{Home, Inhabitant, Opener, enter};
pub use resolve::resolve;
pub use size::parse as parse_size;
pub use spec::{Bind, Closed, Network, OPTIONS, Spec};
