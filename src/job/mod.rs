//! What runs as the job user, behind the switcher. It never has the batch user's rights, and knows that the batch user
//! trusts nothing it says.
//!
//! - [`agent`]: the one program that the helpers call through the switcher, and its errands;
//! - [`serve`]: the errand for a sandbox: receive it, give it back, replace its proxy;
//! - [`enter`]: the errand that puts the wrapper into the sandbox;
//! - [`signal`]: the errand that sends a signal;
//! - [`wrapper`]: the job wrapper, which turns the starter's words into the job's start;
//! - [`environment`]: the job's environment.
#![forbid(unsafe_code)]

pub mod agent;
pub mod enter;
pub mod environment;
pub mod serve;
pub mod signal;
pub mod wrapper;
