//! The command lines of the programs that run as the batch user: arguments, help texts,
//! environment variables, messages, log lines and exit statuses.
//!
//! Arguments are bytes, not text. Options precede the first positional argument; nothing after it
//! is parsed as an option. A usage error is one line on standard error.
//!
//! - [`setup`], [`run`], [`cleanup`], [`kill`], [`update_proxy`]: the helpers, each with its
//!   definition and its main function; [`pilot`]: the command with subcommands; [`mkgltempdir`]: a
//!   directory of the payload's user;
//! - `definition`: what the definitions of the helpers have in common; `arguments`: reading them;
//!   `hand_over`: the arguments that setup and cleanup share; `environment`: reading variables;
//! - `helper`: the call of a helper, from its command line to its exit status; `error`: wrong
//!   arguments and variables as its failure;
//! - `log`, `kill_report`: what the log and the output of kill contain; `notice`: lines for the
//!   caller; `descriptors`: the limit of open files.

mod arguments;
pub mod cleanup;
mod definition;
mod descriptors;
mod environment;
mod error;
mod hand_over;
mod helper;
pub mod kill;
mod kill_report;
mod log;
pub mod mkgltempdir;
mod notice;
pub mod pilot;
pub mod run;
pub mod setup;
pub mod update_proxy;
