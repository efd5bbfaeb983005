//! A payload in one call of the project's `glexec`: it hands the sandbox over to the payload, runs
//! it, ends what it leaves, and takes the sandbox back.
//!
//! - `begin`: until the job wrapper is ready, which becomes the payload;
//! - `reports`: what the call reports;
//! - `take_back`: after the payload's end;
//! - `restore`: the sandbox of a call that was ended early.
//!
//! The credential is in the retained directory meanwhile, and nowhere else: the sandbox itself
//! becomes the payload's. So the states on the disk are those of a hand-over by copying: a sandbox
//! of another user with a marked `.condor` that holds the credential. While the owner changes, the
//! sandbox is the batch user's: with mode 01700 it is being given, with another it is being taken,
//! or it is whole.

mod begin;
mod reports;
mod restore;
mod take_back;

use std::fs::File;

use error::{Context as _, Result};
use sys::socket::Sender;
use sys::{Errno, Rename};
use wire::launch::Wrapper;

pub(super) use self::begin::{Begun, begin};
pub(super) use self::reports::Reports;
pub(super) use self::restore::{is_being_given, take, undo};
pub(super) use self::take_back::{Back, take_back};
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::BoundCall;

/// A call whose job wrapper is ready. The payload has the sandbox.
#[derive(Debug)]
pub(in crate::batch) struct OneCall {
    /// The call, which ends when the sandbox is back.
    pub(super) call: BoundCall,
    /// The wrapper. If its socket is closed, it ends, and there is no payload.
    pub(super) wrapper: Option<Wrapper>,
    /// The wrapper's process, which becomes the payload.
    pub(super) sender: Sender,
    /// What the call reports.
    pub(super) reports: Reports,
    /// The lock of the retained directory: while the sandbox is the payload's, it tells other
    /// pilots that this one works on it.
    pub(super) lock: File,
}

/// Makes the retained directory with the credential, and removes that from the sandbox.
fn withhold_credential(sandbox: &Sandbox) -> Result<File> {
    let (dir, path) = (sandbox.open()?, sandbox.path());
    let credential = sandbox.read_proxy(&dir, &path)?;
    let name = sandbox.make_retained(&credential)?;
    sandbox.retain(&name).inspect_err(|_| sandbox.remove_leftover(&name))?;
    let withheld = sandbox.lock_retained().and_then(|lock| {
        dir.remove_file(sandbox.proxy.name()).at("withhold the credential in", &path)?;
        Ok(lock)
    });
    withheld.map_err(|error| error.and_then(sandbox.remove_retained()))
}

/// Puts the credential back into a sandbox that is the batch user's, and removes the retained
/// directory. What the payload has put at its name is removed.
pub(super) fn put_back_credential(sandbox: &Sandbox) -> Result<()> {
    let (top, retained) = (sandbox.open()?, sandbox.open_retained()?);
    let (name, path) = (sandbox.proxy.name(), sandbox.path());
    if retained.stat(name).is_ok() {
        if top.stat(name).is_ok() {
            tree::remove(&top, name, &path)?;
        }
        match retained.rename_into(name, &top, name, Rename::NoReplace) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(cause) => return Err(cause).at("put the credential back into", &path),
        }
    }
    sandbox.remove_retained()
}
