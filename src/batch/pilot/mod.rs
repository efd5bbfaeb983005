//! For pilots, which have no starter: a payload from its input to its output.
//!
//! - [`order`]: what is wanted;
//! - [`run`]: the way of a payload, from the first step to the last;
//! - [`input`]: what there is in the input, before anything is done; [`losses`]: what does not come
//!   across;
//! - [`interrupt`]: signals while files are on their way;
//! - [`place`]: the sandbox before it changes hands, and its files when they are back;
//! - [`payload`]: starting the payload, and the agent that watches for this process's end;
//! - [`streams`]: the standard streams that the payload gets;
//! - [`supervise`]: signals and time while the payload runs;
//! - [`credential`]: reading a credential of the caller's;
//! - [`candidates`]: the switchers that there are;
//! - [`recover`]: what to do when a pilot was killed;
//! - [`renew`]: renewing a payload's proxy, and the switcher's credential;
//! - [`step_log`]: what is told of each step.

pub mod candidates;
pub mod credential;
pub mod input;
pub mod interrupt;
pub mod losses;
pub mod order;
pub mod payload;
pub mod place;
pub mod recover;
pub mod renew;
pub mod run;
pub mod step_log;
pub mod streams;
pub mod supervise;

/// The name of the switcher's credential in a pilot's sandboxes. It is never handed over.
pub const CREDENTIAL: &str = ".glexec_pilot_credential";

/// The name of the payload's own proxy there.
pub const PROXY: &str = ".glexec_pilot_proxy";
