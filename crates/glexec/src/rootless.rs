//! Running a payload as a subordinate user of the caller's, without privilege.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use sys::namespace::{self, Fork};
use sys::process::End;
use sys::signal::Signals;
use sys::{Gid, Uid, fd, process, signal};

use super::credential::Credential;
use super::guard::{self, Ground, Wires};
use super::lease::{Lease, Leases};
use super::payload::Payload;
use super::ranges::Ranges;
use super::refusal::{Refusal, Result};
use super::supervise::{self, Started};
use super::{idmap, usual};

/// Runs the payload and returns how it has ended. `wanted` is the user that a new lease must be
/// for, if that matters; `table` is the directory of the leases, if it is not the usual one.
/// `payload` is made for the user and group that the lease has. Standard error stays open if
/// something is to be said in the end.
pub fn run(
    credential: &Credential,
    wanted: Option<Uid>,
    table: Option<PathBuf>,
    keeps_error: bool,
    payload: impl FnOnce((Uid, Gid)) -> Payload,
) -> Result<End> {
    let user = process::user();
    if namespace::is_without_new_privileges() {
        return Err(Refusal::internal(
            "this process was started with no_new_privs, as inside Apptainer and under some batch systems: newuidmap cannot work \
             here; have it started without (prctl(2), PR_SET_NO_NEW_PRIVS)",
        ));
    }
    let ranges = Ranges::of(user)?;
    let leases = Leases::lock(usual::directory(user)?, table, ranges)?;
    let lease = leases.take(credential, wanted)?;
    let payload = payload((lease.user, lease.group));
    let failed = |cause| Refusal::internal(format!("cannot wait for signals: {cause}"));
    signal::block_all().map_err(failed)?;
    let signals = Signals::open().map_err(failed)?;
    // What loses its guard becomes this process's child, and can be told from those that it had.
    namespace::adopt_orphans()
        .map_err(|cause| Refusal::forbidden("adopt what loses its parent", cause))?;
    let (started, mut go) = start(&lease, &payload, keeps_error)?;
    // Then the others need not wait any more: who joins now finds a namespace with its ids.
    leases.started(&lease, started.guard)?;
    // A guard that does not hear it is gone, which is told by the other pipes. Without it nothing
    // is executed.
    let _ = go.write_all(b"x");
    drop(go);
    supervise::until_end(&signals, started)
}

/// Starts the guard, which starts the payload when a byte is written to the pipe.
fn start(lease: &Lease, payload: &Payload, keeps_error: bool) -> Result<(Started, File)> {
    let failed = |cause| Refusal::internal(format!("cannot make a pipe: {cause}"));
    let ((refused, tells), (ended, ends)) =
        (fd::pipe().map_err(failed)?, fd::pipe().map_err(failed)?);
    let (told, go) = fd::pipe().map_err(failed)?;
    let wires = Wires { go: told, refused: tells, ended: ends };
    let above = process::getpid();
    let forbidden = |cause| Refusal::forbidden("make a process or a user namespace", cause);
    let guard = if let Some(namespace) = &lease.namespace {
        match namespace::fork().map_err(forbidden)? {
            Fork::Child => guard::stand(&Ground::Joined(namespace), payload, wires, above),
            Fork::Parent(pid) => pid,
        }
    } else {
        match process::leaving_processes_to_owner(namespace::fork_into_new).map_err(forbidden)? {
            Fork::Child => guard::stand(&Ground::New, payload, wires, above),
            Fork::Parent(pid) => {
                idmap::map(pid, (lease.user, lease.group))?;
                pid
            }
        }
    };
    Ok((Started { guard, user: lease.user, refused, ended, keeps_error }, go))
}
