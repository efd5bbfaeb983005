//! What runs as the job user, behind the switcher. It never has the batch user's rights, and knows that the batch user
//! trusts nothing it says.
//!
//! - [`agent`]: the one program that the helpers call through the switcher, and its errands;
//! - [`serve`]: the errand for a sandbox: receive it, give it back, replace its proxy;
//! - [`enter`]: the errand that puts the wrapper into the sandbox;
//! - [`kill`]: the errands that send signals: to one process, or to a whole family;
//! - [`hunt`]: how a signal gets to every member of a family;
//! - [`watch`]: the errand that ends a family when its pilot is gone;
//! - [`family`]: who the members are;
//! - [`remains`]: what an account leaves behind;
//! - [`monitor`]: what to do below a sudo that stays;
//! - [`helper`]: the socket to the helper;
//! - [`wrapper`]: the job wrapper, which turns the starter's words into the job's start;
//! - [`environment`]: the job's environment.
#![forbid(unsafe_code)]

pub mod agent;
pub mod enter;
pub mod environment;
pub mod family;
pub mod helper;
pub mod hunt;
pub mod kill;
pub mod monitor;
pub mod remains;
pub mod serve;
pub mod watch;
pub mod wrapper;
