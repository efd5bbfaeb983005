//! The sides: each is a call of a switcher.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::common::calls::{self, as_batch, bare_switcher};
use super::support::families::Target;
use super::support::glexec::Rootless;
use super::support::program;

pub const SUDO: &str = "sudo";

/// A call that is measured, and a process that must live meanwhile.
pub struct Call {
    command: Command,
    _beside: Option<Target>,
    /// The credential, if each call has another one, and the number of credentials before it.
    changing: Option<(PathBuf, usize)>,
}

impl Call {
    /// Makes the call.
    pub fn run(&mut self) {
        if let Some((path, number)) = &mut self.changing {
            *number += 1;
            let next = path.with_extension(number.to_string());
            std::fs::rename(&*path, &next).unwrap();
            self.command.env("GLEXEC_CLIENT_CERT", &next);
            *path = next;
        }
        calls::run(&mut self.command);
    }
}

/// The name of a call of a switcher, and the function that prepares it.
type Side = (&'static str, fn(&Credentials) -> Call);

pub const SIDES: [Side; 9] = [
    ("true", bare),
    (SUDO, sudo),
    (ADAPTER, adapter),
    (GLEXEC, glexec),
    (JOINED, joined),
    (NEW, new),
    (PILOTS[0].0, pilot_with_adapter),
    (PILOTS[1].0, pilot_with_glexec),
    ("pilot, closed", pilot_in_closed_world),
];

pub const ADAPTER: &str = "adapter";
pub const GLEXEC: &str = "glexec";
pub const JOINED: &str = "glexec, joined";
pub const NEW: &str = "glexec, new";

/// A pilot's run of a payload, and the four calls of the switcher that it makes: setup, run, watch
/// (at the same time), cleanup.
pub const PILOTS: [(&str, [&str; 4]); 2] =
    [("pilot, adapter", [ADAPTER; 4]), ("pilot, glexec", [NEW, GLEXEC, JOINED, GLEXEC])];

/// A credential of the batch user, and a separate table of leases.
pub struct Credentials {
    rootless: Rootless,
}

impl Credentials {
    pub fn new() -> Credentials {
        Credentials { rootless: Rootless::new() }
    }

    fn glexec(&self) -> Command {
        let mut command = self.rootless.glexec();
        command.env("GLEXEC_STATE_DIR", self.rootless.site.leases());
        command
    }
}

fn alone(command: Command) -> Call {
    Call { command, _beside: None, changing: None }
}

fn bare(_: &Credentials) -> Call {
    alone(as_batch("/bin/true"))
}

fn sudo(_: &Credentials) -> Call {
    let mut command = as_batch("/usr/bin/sudo");
    command.args(["-n", "-u", "gh-job", "/bin/true"]);
    alone(command)
}

fn adapter(credentials: &Credentials) -> Call {
    alone(bare_switcher(
        &credentials.rootless.site,
        &credentials.rootless.site.scratch().join("credential"),
    ))
}

fn glexec(credentials: &Credentials) -> Call {
    let mut command = credentials.glexec();
    command.arg("/bin/true");
    alone(command)
}

fn pilot_with_adapter(credentials: &Credentials) -> Call {
    pilot(credentials, &program("glexec-sudo"), "shared")
}

fn pilot_with_glexec(credentials: &Credentials) -> Call {
    pilot(credentials, &program("glexec"), "shared")
}

fn pilot_in_closed_world(credentials: &Credentials) -> Call {
    pilot(credentials, &program("glexec"), "closed")
}

fn pilot(credentials: &Credentials, switcher: &Path, world: &str) -> Call {
    let mut command = as_batch(program("condor_glexec_pilot"));
    command
        .arg("run")
        .arg("--world")
        .arg(world)
        .arg("--glexec")
        .arg(switcher)
        .arg("--execute")
        .arg(credentials.rootless.site.execute());
    command.args(["--", "/bin/true"]).env("GLEXEC_STATE_DIR", credentials.rootless.site.leases());
    alone(command)
}

fn new(credentials: &Credentials) -> Call {
    let credential = credentials.rootless.credential("changing");
    Call { changing: Some((credential, 0)), ..glexec(credentials) }
}

fn joined(credentials: &Credentials) -> Call {
    let beside = Target::through(credentials.glexec());
    Call { _beside: Some(beside), ..glexec(credentials) }
}
