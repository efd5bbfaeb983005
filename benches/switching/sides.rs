//! The sides: each is a call of a switcher.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::common::calls::{self, as_batch, bare_switcher};
use super::support::glexec::Rootless;
use super::support::kinsfolk::Target;
use super::support::program;

pub const SUDO: &str = "sudo";

/// A call that is to be measured, and what must live meanwhile.
pub struct Call {
    command: Command,
    _beside: Option<Target>,
    /// The credential, if each call has another one, and how many there were.
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

/// A switcher's call, by its name.
type Side = (&'static str, fn(&Scene) -> Call);

pub const SIDES: [Side; 8] = [
    ("true", bare),
    (SUDO, sudo),
    (ADAPTER, adapter),
    (GLEXEC, glexec),
    (JOINED, joined),
    (NEW, new),
    (PILOTS[0].0, pilot_with_adapter),
    (PILOTS[1].0, pilot_with_glexec),
];

pub const ADAPTER: &str = "adapter";
pub const GLEXEC: &str = "glexec";
pub const JOINED: &str = "glexec, joined";
pub const NEW: &str = "glexec, new";

/// A whole payload, and the calls of the switcher that it takes: to set up, to run, to watch beside
/// that, to clean up.
pub const PILOTS: [(&str, [&str; 4]); 2] =
    [("pilot, adapter", [ADAPTER; 4]), ("pilot, glexec", [NEW, GLEXEC, JOINED, GLEXEC])];

/// A credential of the batch user's, and leases of its own.
pub struct Scene {
    rootless: Rootless,
}

impl Scene {
    pub fn new() -> Scene {
        Scene { rootless: Rootless::new() }
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

fn bare(_: &Scene) -> Call {
    alone(as_batch("/bin/true"))
}

fn sudo(_: &Scene) -> Call {
    let mut command = as_batch("/usr/bin/sudo");
    command.args(["-n", "-u", "gh-job", "/bin/true"]);
    alone(command)
}

fn adapter(scene: &Scene) -> Call {
    alone(bare_switcher(&scene.rootless.site, &scene.rootless.site.scratch().join("credential")))
}

fn glexec(scene: &Scene) -> Call {
    let mut command = scene.glexec();
    command.arg("/bin/true");
    alone(command)
}

fn pilot_with_adapter(scene: &Scene) -> Call {
    pilot(scene, &program("glexec-sudo"))
}

fn pilot_with_glexec(scene: &Scene) -> Call {
    pilot(scene, &program("glexec"))
}

fn pilot(scene: &Scene, switcher: &Path) -> Call {
    let mut command = as_batch(program("condor_glexec_pilot"));
    command
        .arg("run")
        .arg("--glexec")
        .arg(switcher)
        .arg("--execute")
        .arg(scene.rootless.site.execute());
    command.args(["--", "/bin/true"]).env("GLEXEC_STATE_DIR", scene.rootless.site.leases());
    alone(command)
}

fn new(scene: &Scene) -> Call {
    let credential = scene.rootless.credential("changing");
    Call { changing: Some((credential, 0)), ..glexec(scene) }
}

fn joined(scene: &Scene) -> Call {
    let beside = Target::through(scene.glexec());
    Call { _beside: Some(beside), ..glexec(scene) }
}
