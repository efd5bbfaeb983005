//! The two programs that run as the job user, behind the switcher. They never have the batch user's
//! rights. The batch user's programs trust nothing that they say.
//!
//! `condor_glexec_agent`, the one program that the batch user's programs call through the switcher:
//!
//! - [`agent`]: its command line; it carries out one operation ([`wire::Operation`]):
//! - `serve`: answer the requests about one sandbox;
//! - `enter`: make the sandbox the working directory, and become the job wrapper;
//! - `signal`: send a signal to one process;
//! - `hunt`: send a signal to a family, or to all processes of the account;
//! - `watch`: kill a family when its pilot is gone;
//! - `follow`: stop a family while a process above it is stopped.
//!
//! What these are made of:
//!
//! - `helper`: the socket to the calling program;
//! - `family`: which processes belong to a family;
//! - `hunter`: how a signal gets to each of them;
//! - `remains`: what an account without processes leaves behind;
//! - `monitor`: the case that sudo stays above the agent;
//! - `limits`: the limits that a job gets.
//!
//! `condor_glexec_job_wrapper`, which becomes the job:
//!
//! - [`wrapper`]: its command line;
//! - `job`: the messages from the starter, and the execution of the job;
//! - `environment`: the job's environment.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

pub mod agent;
mod enter;
mod environment;
mod family;
mod follow;
mod helper;
mod hunt;
mod hunter;
mod job;
mod limits;
mod monitor;
mod remains;
mod serve;
mod signal;
mod watch;
pub mod wrapper;
