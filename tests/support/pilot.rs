//! Calls of the pilot's command.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::{Account, Site, own, retained, wait_until, write};

/// The name of the switcher's credential in a pilot's sandboxes.
pub const CREDENTIAL: &str = ".glexec_pilot_credential";

/// The name of the payload's proxy there.
pub const PAYLOADS: &str = ".glexec_pilot_proxy";

/// A site, and where a pilot's files are.
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

    /// `run` through the site's switcher; its command, or more options, are still to come.
    pub fn run(&self) -> Command {
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

    /// A path of the batch user's for what comes back.
    pub fn output(&self) -> PathBuf {
        self.site.scratch().join("output")
    }

    /// A directory of the batch user's with what `furnish` puts there.
    pub fn input(&self, furnish: impl Fn(&Path)) -> PathBuf {
        let path = self.site.scratch().join("input");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        furnish(&path);
        own(&path, Account::batch());
        path
    }

    /// Starts a payload that says in its sandbox when it has begun, and waits for that. It starts
    /// no process for it: who counts the family then counts what the script has started.
    pub fn start(&self, name: &str, options: &[&str], script: &str) -> Child {
        self.start_by(self.run_named(name), name, options, script)
    }

    /// The same by a call of the test's own.
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

    /// A switcher that does something before each call of the real one. The agent's operation is `$2`.
    pub fn switcher_that(&self, first: &str) -> PathBuf {
        self.site
            .script("switcher", &format!("{first}\nexec {} \"$@\"", self.site.switcher().display()))
    }

    /// A credential of the batch user's.
    pub fn credential(&self, content: &str) -> PathBuf {
        self.credential_named("credential", content)
    }

    /// The same under a name of its own.
    pub fn credential_named(&self, name: &str, content: &str) -> PathBuf {
        let path = self.site.scratch().join(name);
        write(&path, content, 0o600);
        own(&path, Account::batch());
        path
    }
}

/// What a payload said.
pub fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The processes of a sandbox's family that live, by the mark.
pub fn family(sandbox: &Path) -> Vec<u32> {
    super::kinsfolk::marked_with(sandbox)
}

/// Sends a signal to a child.
pub fn signal(child: &Child, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

/// The path of the copy that the switcher gets.
pub fn kept(sandbox: &Path) -> PathBuf {
    retained(sandbox).join(CREDENTIAL)
}

/// A call as somebody types it; its words need no quotes.
pub fn line(call: &Command) -> String {
    let words = std::iter::once(call.get_program()).chain(call.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
