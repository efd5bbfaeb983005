//! Running a payload as a subordinate user of the caller's, without privilege.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use super::credential::Credential;
use super::guard::{self, Ground, Wires};
use super::lease::{Lease, Leases};
use super::payload::Payload;
use super::ranges::Ranges;
use super::refusal::{Refusal, Result, Status};
use super::supervise;
use crate::sys::namespace::{self, Fork};
use crate::sys::{fd, process, signal};

/// Runs the payload and returns its status. `payload` is made for the user and group that the lease has.
pub fn run(
    credential: &Credential,
    state: std::path::PathBuf,
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
    let lease = leases.take(&credential.path)?;
    let payload = payload((lease.user, lease.group));
    signal::block_all().map_err(|cause| Refusal::internal(format!("cannot block signals: {cause}")))?;
    let (guard, holder, mut refused, ended) = start(&lease, &payload)?;
    let mut why = Vec::new();
    let read = refused.read_to_end(&mut why);
    read.map_err(|error| Refusal::internal(format!("cannot hear whether the payload was executed: {error}")))?;
    leases.started(&lease, holder)?;
    if let Some(refusal) = Refusal::heard(&why) {
        process::reap_one(guard);
        return Err(refusal);
    }
    // What the payload closes is closed.
    let _ = fd::close_standard();
    let status = supervise::until_end(guard, ended);
    Ok(match status {
        201..=204 => Status::Ambiguous as u8,
        status => status,
    })
}

/// Starts the guard and, below it, the payload: the guard's number, the same if it holds a new namespace, and the pipes.
fn start(lease: &Lease, payload: &Payload) -> Result<(i32, Option<i32>, File, File)> {
    let failed = |cause| Refusal::internal(format!("cannot make a pipe: {cause}"));
    let ((refused, tells), (ended, ends)) = (fd::pipe().map_err(failed)?, fd::pipe().map_err(failed)?);
    let wires = Wires { refused: tells, ended: ends };
    let above = process::own_number();
    let started = |cause| Refusal::forbidden("make a user namespace", cause);
    let Some(namespace) = &lease.namespace else {
        let (go, mut mapped) = fd::pipe().map_err(failed)?;
        return match namespace::fork_into_new().map_err(started)? {
            Fork::Child => {
                drop((refused, ended, mapped));
                guard::stand(Ground::New(go), payload, wires, above)
            }
            Fork::Parent(pid) => {
                drop((wires, go));
                map(pid, lease)?;
                let _ = mapped.write_all(b"x"); // if it is gone, that is told by the other pipes
                Ok((pid, Some(pid), refused, ended))
            }
        };
    };
    let namespace =
        namespace.try_clone().map_err(|error| Refusal::internal(format!("cannot duplicate a descriptor: {error}")))?;
    match namespace::fork().map_err(started)? {
        Fork::Child => {
            drop((refused, ended));
            guard::stand(Ground::Joined(namespace), payload, wires, above)
        }
        Fork::Parent(pid) => Ok((pid, None, refused, ended)),
    }
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
