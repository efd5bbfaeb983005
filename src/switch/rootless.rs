//! Running a payload as a subordinate user of the caller's, without privilege.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use super::children;
use super::credential::Credential;
use super::guard::{self, Ground, Wires};
use super::lease::{Lease, Leases};
use super::payload::Payload;
use super::ranges::Ranges;
use super::refusal::{Refusal, Result, Status};
use super::supervise::{self, Started};
use crate::sys::namespace::{self, Fork};
use crate::sys::signal::Signals;
use crate::sys::{fd, process, signal};

/// Runs the payload and returns its status. `payload` is made for the user and group that the lease has. Standard error stays open if
/// something is to be said in the end.
pub fn run(
    credential: &Credential,
    state: std::path::PathBuf,
    keeps_error: bool,
    payload: impl FnOnce((u32, u32)) -> Payload,
) -> Result<u8> {
    let user = process::user();
    if namespace::is_without_new_privileges() {
        return Err(Refusal::internal(
            "this process was started with no_new_privs, as inside Apptainer and under some batch systems: newuidmap cannot work \
             here; have it started without (prctl(2), PR_SET_NO_NEW_PRIVS)",
        ));
    }
    let leases = Leases::lock(state, Ranges::of(user)?)?;
    let lease = leases.take(credential)?;
    let payload = payload((lease.user, lease.group));
    let failed = |cause| Refusal::internal(format!("cannot wait for signals: {cause}"));
    signal::block_all().map_err(failed)?;
    let signals = Signals::open().map_err(failed)?;
    // What loses its guard becomes this process's child, and can be told from those that it had.
    namespace::adopt_orphans().map_err(|cause| Refusal::forbidden("adopt what loses its parent", cause))?;
    let started = Started { keeps_error, ..start(&lease, &payload)? };
    // From here on the others need not wait: who joins now finds a namespace with its ids.
    leases.started(&lease, started.guard)?;
    let status = supervise::until_end(&signals, started)?;
    Ok(match status {
        201..=204 => Status::Ambiguous as u8,
        status => status,
    })
}

/// Starts the guard and, below it, the payload.
fn start(lease: &Lease, payload: &Payload) -> Result<Started> {
    let failed = |cause| Refusal::internal(format!("cannot make a pipe: {cause}"));
    let ((refused, tells), (ended, ends)) = (fd::pipe().map_err(failed)?, fd::pipe().map_err(failed)?);
    let wires = Wires { refused: tells, ended: ends };
    let (above, before) = (process::own_number(), children::now());
    let forbidden = |cause| Refusal::forbidden("make a process or a user namespace", cause);
    let guard = if let Some(namespace) = &lease.namespace {
        match namespace::fork().map_err(forbidden)? {
            Fork::Child => guard::stand(&Ground::Joined(namespace), payload, wires, above),
            Fork::Parent(pid) => pid,
        }
    } else {
        let (go, mut mapped) = fd::pipe().map_err(failed)?;
        match process::leaving_processes_to_owner(namespace::fork_into_new).map_err(forbidden)? {
            Fork::Child => guard::stand(&Ground::New(go), payload, wires, above),
            Fork::Parent(pid) => {
                map(pid, lease)?;
                let _ = mapped.write_all(b"x"); // if it is gone, that is told by the other pipes
                pid
            }
        }
    };
    Ok(Started { guard, refused, ended, before, keeps_error: false })
}

/// Gives a new namespace its ids: the caller is its root, and the payload's are what they are outside.
fn map(pid: i32, lease: &Lease) -> Result<()> {
    let number = |id: u32| id.to_string();
    let (pid, own) = (pid.to_string(), number(process::user()));
    let (user, group) = (number(lease.user), number(lease.group));
    let users = map_by("newuidmap", &[&pid, "0", &own, "1", &user, &user, "1"])?;
    let groups = map_by("newgidmap", &[&pid, &group, &group, "1"])?;
    mapped("newuidmap", users)?;
    mapped("newgidmap", groups)
}

fn map_by(program: &str, words: &[&str]) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Refusal::internal(format!(
            "{program} is not installed: an administrator has to (package uidmap of Debian and Ubuntu, shadow-utils elsewhere)"
        )),
        _ => Refusal::internal(format!("cannot execute {program}: {error}")),
    })
}

fn mapped(program: &str, child: Child) -> Result<()> {
    let output = child.wait_with_output();
    let output = output.map_err(|error| Refusal::internal(format!("cannot wait for {program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = crate::shown::Shown(output.stderr.trim_ascii()).to_string();
    Err(Refusal::internal(format!("{program} failed: {said}{}", super::refusal::obstacles())))
}
