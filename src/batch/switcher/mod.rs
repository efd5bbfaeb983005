//! The identity switcher: the program that runs a command as the user that a credential maps to.
//!
//! - `program`: the switcher, its credential and its settings; the command line of a call;
//! - `call`: a call of a helper; `bound_call`: a call that ends with this process; `run_command`: a
//!   call for another command than the agent;
//! - `output`: what a call writes; `outcome`: how a call ended;
//! - `processes`: which running processes are calls of the switcher;
//! - `find`: where programs are.

mod bound_call;
mod call;
mod find;
mod outcome;
mod output;
mod processes;
mod program;
mod run_command;

pub use bound_call::BoundCall;
pub use call::Call;
pub use find::{find_in_path, installed_program};
pub use outcome::CallOutcome;
pub use processes::{is_project_glexec, is_without_project_glexec};
pub use program::{Switcher, links_option};
pub use run_command::run_command;
