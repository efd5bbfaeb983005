//! The ids of a new user namespace, which newuidmap(1) and newgidmap(1) map.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use command::executable;
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::{Gid, Pid, process};

use crate::ranges::Ids;
use ::world::restrictions;

/// Maps the ids of a process's new user namespace: the caller becomes its root; the payload's ids
/// are the same inside and outside.
pub(crate) fn map(pid: Pid, ids: Ids) -> Result<()> {
    map_groups(pid, ids, &[])
}

/// As [`map`]; the caller's group becomes group 0 also.
pub(crate) fn map_with_own_group(pid: Pid, ids: Ids) -> Result<()> {
    map_groups(pid, ids, &["0", &Gid::effective().to_string(), "1"])
}

/// As [`map`], with one more range of groups, if any.
fn map_groups(pid: Pid, ids: Ids, more: &[&str]) -> Result<()> {
    let (newuidmap, newgidmap) = (find("newuidmap")?, find("newgidmap")?);
    let (pid, own) = (pid.to_string(), process::geteuid().to_string());
    let (user, group) = (ids.user.to_string(), ids.group.to_string());
    let users = start(&newuidmap, &[&pid, "0", &own, "1", &user, &user, "1"])?;
    let groups = start(&newgidmap, &[&[&*pid, &group, &group, "1"], more].concat())?;
    wait(&newuidmap, users)?;
    wait(&newgidmap, groups)
}

fn find(name: &str) -> Result<PathBuf> {
    executable::of_system(name).map_err(|why| {
        Refusal::internal(format!(
            "{why}; an administrator can install it (package uidmap of Debian and Ubuntu, \
             shadow-utils elsewhere)"
        ))
    })
}

fn start(program: &Path, arguments: &[&str]) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map_err(|error| {
        Refusal::internal(format!("cannot execute {}: {error}", Shown::os(program)))
    })
}

fn wait(program: &Path, child: Child) -> Result<()> {
    let program = Shown::os(program);
    let output = child
        .wait_with_output()
        .map_err(|error| Refusal::internal(format!("cannot wait for {program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let message = Shown(output.stderr.trim_ascii());
    Err(Refusal::internal(format!("{program} failed: {message}{}", restrictions::advice())))
}
