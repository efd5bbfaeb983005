//! An environment as the value of one variable, `GLEXEC_ENV`: a switcher gives its payload a new
//! environment, but lets this variable through. `glexec_wrapenv` runs as the caller and makes the
//! value; `glexec_unwrapenv` runs as the payload's user and executes a command with what is in it.
//!
//! Both have the rights of the user who runs them, and protect nothing: who may set `GLEXEC_ENV`
//! may run any command as the payload's user.
//!
//! - [`format`](mod@format): the value, from variables and back; `names`: which variables are left
//!   out;
//! - [`wrap`], [`unwrap`]: the two programs.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod format;
mod names;
pub mod unwrap;
pub mod wrap;

/// The variable that has the wrapped environment.
const VARIABLE: &str = "GLEXEC_ENV";
