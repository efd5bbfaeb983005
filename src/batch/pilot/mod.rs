//! For pilots, which have no starter: a payload from its input to its output.
//!
//! - [`spec`]: what is run;
//! - [`run`]: the steps of a run, with `set_up`, `run_payload` and `way_back`; [`error`]: the stage
//!   that failed;
//! - [`check`]: the checks before anything is changed; [`input`]: a survey of the input;
//! - [`make`]: making and removing the sandbox; [`output`]: the way of the files to the output;
//!   [`losses`]: what is not copied;
//! - [`signals`]: the signals and what they ask for; [`interrupt`]: signals while files are
//!   transferred;
//! - [`one_call`]: a payload in one call of the project's `glexec`, which also hands the sandbox
//!   over and takes it back;
//! - [`payload`]: starting the payload; [`watch`]: the agent that watches for this process's end;
//!   `renewed`: files that the starter renews; `follow`: the agent that stops the payload
//!   while this process is stopped; [`streams`]: its standard streams; [`supervise`]: the wait
//!   for its end, with its timeout and limits; `forward`: the signals that it gets;
//! - [`limits`]: the limits of a payload, and what it has used;
//! - [`candidates`]: the switchers that are installed;
//! - [`abandoned`]: a sandbox whose pilot was killed; [`recover`]: bringing it back, or removing
//!   it; `unfinished_call`: one whose owner was changing; [`renew`]: renewing a payload's proxy and
//!   the switcher's credential;
//! - [`step_log`]: what is reported about each step.

mod abandoned;
pub mod candidates;
pub(super) mod check;
pub mod error;
mod follow;
mod forward;
pub(super) mod input;
pub mod interrupt;
pub mod limits;
mod losses;
pub(super) mod make;
pub(super) mod one_call;
mod output;
mod payload;
pub mod recover;
pub mod renew;
pub(super) mod renewed;
pub mod run;
pub(super) mod run_payload;
pub(super) mod set_up;
pub mod signals;
pub mod spec;
pub mod step_log;
mod streams;
mod supervise;
mod unfinished_call;
mod watch;
pub(super) mod way_back;

pub use abandoned::AbandonedSandbox;

/// The name of the switcher's credential in a pilot's sandbox. It is never handed over.
pub const CREDENTIAL: &str = ".glexec_pilot_credential";

/// The name of the payload's proxy there.
pub const PROXY: &str = ".glexec_pilot_proxy";
