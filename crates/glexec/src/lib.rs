//! Changes who it is: the project's own identity switcher. So far it does so without privilege, as
//! the caller's subordinate users.
//!
//! - [`command`]: the command line, the environment, the exit status;
//! - [`credential`]: the file that stands for who may run a payload;
//! - [`ranges`]: the ids that the caller may give away;
//! - [`lease`]: to which credential each of them belongs;
//! - [`table`], [`usual`]: where that is kept;
//! - [`holder`], [`members`]: who holds its namespace, and who is in it;
//! - [`idmap`]: gives a namespace its ids;
//! - [`installed`]: the one payload that is known, and may do more;
//! - [`rootless`]: makes or joins a user namespace, and runs the payload in it;
//! - [`guard`]: the process above the payload;
//! - [`children`]: ends what a guard or a caller has below it;
//! - [`payload`]: the payload's own process, until it is executed;
//! - [`supervise`]: the caller's process while it runs;
//! - [`refusal`]: why it is not run.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod children;
pub mod command;
pub mod credential;
pub mod guard;
pub mod holder;
pub mod idmap;
pub mod installed;
pub mod lease;
pub mod members;
pub mod payload;
pub mod ranges;
pub mod refusal;
pub mod rootless;
pub mod supervise;
pub mod table;
pub mod usual;
