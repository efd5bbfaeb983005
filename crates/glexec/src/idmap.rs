//! The ids of a new user namespace, which newuidmap(1) and newgidmap(1) give it.

use std::process::{Child, Command, Stdio};

use error::Shown;
use sys::{Gid, Pid, Uid, process};

use super::refusal::{self, Refusal, Result};

/// Gives a new namespace its ids: the caller is its root, and the payload's are what they are
/// outside.
pub fn map(pid: Pid, (user, group): (Uid, Gid)) -> Result<()> {
    let (pid, own) = (pid.to_string(), process::user().to_string());
    let (user, group) = (user.to_string(), group.to_string());
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
    let output =
        output.map_err(|error| Refusal::internal(format!("cannot wait for {program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = Shown(output.stderr.trim_ascii());
    Err(Refusal::internal(format!("{program} failed: {said}{}", refusal::obstacles())))
}
