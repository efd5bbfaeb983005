//! Calls of the pilot's command.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::{Account, Site, own, retained, wait_until, write};

/// The name of the switcher's credential in a pilot's sandboxes.
pub const CREDENTIAL: &str = ".glexec_pilot_credential";

/// The name of the payload's proxy there.
pub const PAYLOAD_PROXY: &str = ".glexec_pilot_proxy";

/// A command for the payload's shell that kills the agent that would bring the payload's files
/// back, so that another one must be called for that.
pub const KILL_AGENT: &str = "pkill -KILL -f \"serve $PWD$\" 2>/dev/null";

/// A site, and the files of a pilot.
pub struct Pilot {
    pub site: Site,
}

impl Pilot {
    pub fn new() -> Pilot {
        Pilot { site: Site::new() }
    }

    /// A call of a subcommand, as the batch user.
    pub fn call(&self, subcommand: &str) -> Command {
        let mut command = self.site.helper("condor_glexec_pilot");
        command.arg(subcommand);
        command
    }

    /// `run` through the site's switcher, without the payload's command. The payloads of most tests
    /// leave files in the machine's directories for the test to see: so the world is the shared
    /// one. `world.rs` has the tests of the closed one.
    pub fn run(&self) -> Command {
        let mut command = self.run_through_any();
        command.arg("--glexec").arg(self.site.switcher()).arg("--execute").arg(self.site.execute());
        command
    }

    /// The same without a switcher and a directory.
    pub fn run_through_any(&self) -> Command {
        let mut command = self.call("run");
        command.args(["--world", "shared"]);
        command
    }

    /// As [`Pilot::run`], in the world that the switcher gives by itself.
    pub fn run_in_default_world(&self) -> Command {
        let mut command = self.call("run");
        command.arg("--glexec").arg(self.site.switcher()).arg("--execute").arg(self.site.execute());
        command
    }

    /// `run` with a sandbox of this name.
    pub fn run_named(&self, name: &str) -> Command {
        let mut command = self.run();
        command.args(["--name", name]);
        command
    }

    /// `recover`, or `renew-proxy`, through the site's switcher.
    pub fn of(&self, subcommand: &str, options: &[&str], name: &str) -> Command {
        let mut command = self.call(subcommand);
        command.arg("--glexec").arg(self.site.switcher()).args(options).arg(self.sandbox(name));
        command
    }

    pub fn sandbox(&self, name: &str) -> PathBuf {
        self.site.execute().join(name)
    }

    /// The path of the output.
    pub fn output(&self) -> PathBuf {
        self.site.scratch().join("output")
    }

    /// An input directory of the batch user with the files that `fill` creates.
    pub fn input(&self, fill: impl Fn(&Path)) -> PathBuf {
        let path = self.site.scratch().join("input");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        fill(&path);
        own(&path, Account::batch());
        path
    }

    /// Starts a payload, and waits until it has begun: it creates a file then, without starting a
    /// process, which would count as a member of the family.
    pub fn start(&self, name: &str, options: &[&str], script: &str) -> Child {
        self.start_by(self.run_named(name), name, options, script)
    }

    /// The same with another call.
    pub fn start_by(&self, mut call: Command, name: &str, options: &[&str], script: &str) -> Child {
        call.args(options).args(["--", "sh", "-c", &format!(": >begun; {script}")]);
        call.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = call.spawn().unwrap();
        let begun = self.sandbox(name).join("begun");
        wait_until("the payload has begun", || begun.exists());
        child
    }

    /// Fails unless there is no sandbox, and nothing beside one.
    pub fn is_empty(&self, what: &str) {
        assert!(self.site.entries().is_empty(), "{what}: {:?}", self.site.entries());
    }

    /// A switcher that runs `first` before it calls the site's switcher. `$2` is the agent's
    /// operation.
    pub fn switcher_that(&self, first: &str) -> PathBuf {
        self.site
            .script("switcher", &format!("{first}\nexec {} \"$@\"", self.site.switcher().display()))
    }

    /// A credential of the batch user.
    pub fn credential(&self, content: &str) -> PathBuf {
        self.credential_named("credential", content)
    }

    /// The same with another name.
    pub fn credential_named(&self, name: &str, content: &str) -> PathBuf {
        let path = self.site.scratch().join(name);
        write(&path, content, 0o600);
        own(&path, Account::batch());
        path
    }
}

/// The standard output of a payload.
pub fn stdout_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The living processes of a sandbox's family, by their mark.
pub fn family(sandbox: &Path) -> Vec<u32> {
    super::families::marked_with(sandbox)
}

/// Sends a signal to a child.
pub fn signal(child: &Child, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

/// The path of the copy that the switcher gets.
pub fn kept(sandbox: &Path) -> PathBuf {
    retained(sandbox).join(CREDENTIAL)
}

/// A call as a line for a shell. Its words must not need quotes.
pub fn line(call: &Command) -> String {
    let words = std::iter::once(call.get_program()).chain(call.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
