//! `glexecd`: the account daemon. It runs payloads of listed clients as accounts on lease, without
//! a set-user-ID program.
//!
//! - [`command`]: the command line, and what the daemon does before it serves;
//! - `listen`: the listening socket, of systemd or of its own;
//! - `files`: the lists of clients and accounts, which are read again when they change;
//! - `acceptor`: the loop of the daemon. It accepts connections and starts a process for each that
//!   sends something. It reads nothing from a client: so no client can stop or confuse it.
//!
//! The process of a connection, the *supervisor*, outlives the daemon:
//!
//! - `supervisor`: from the request to the end of the payload;
//! - `connection`: frames and descriptors from and to the client;
//! - `client`: the steps of a call that differ from those of a set-user-ID start;
//! - `owner`: a change of the owner of a directory, instead of a payload;
//! - `status`: what a client is told of its leases.
//!
//! All other steps are those of the crate `root`.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod acceptor;
mod client;
pub mod command;
mod connection;
mod files;
mod listen;
mod owner;
mod status;
mod supervisor;
