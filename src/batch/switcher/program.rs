//! The switcher's program, with a credential and the settings of its calls. A call is
//! `<glexec> <absolute command> [argument…]`, with the credential in the environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use error::{Context as _, Error, Result};
use sys::{OwnedName, Uid};
use wire::{Halt, Links, Operation};
use world::Spec;

use super::find::{find_in_path, installed_program};
use super::processes::is_project_glexec;
use crate::batch::handover::Handover;
use crate::batch::identity::log_id_of;

/// The program behind the switcher.
const AGENT: &str = "condor_glexec_agent";

/// The environment variable that names the credential.
pub(super) const CREDENTIAL: &str = "GLEXEC_CLIENT_CERT";

/// A switcher program, with the credential that determines the user.
#[derive(Clone, Debug)]
pub struct Switcher {
    program: PathBuf,
    pub(super) credential: PathBuf,
    pub(super) agent: PathBuf,
    idle_timeout: Duration,
    /// Whether each call is in a separate process group.
    pub(super) separates_groups: bool,
    /// The user that a new lease of the project's `glexec` must be for.
    lease_user: Option<Uid>,
    /// Whether the credential stays with this user when its sandbox is handed over.
    withholds_credential: bool,
    halt: Option<Halt>,
    handover: Handover,
    /// The id of its calls in the log, if it is known.
    log_id: Option<String>,
    /// The directory of session scripts for the project's `glexec`.
    session_scripts: Option<PathBuf>,
    /// The world of payloads, if it is the project's `glexec`.
    world: Spec,
}

impl Switcher {
    /// The switcher `program`, with the credential at this path. A program without a slash is
    /// looked for in PATH. `idle_timeout` is how long a call may make no progress; zero means no
    /// limit.
    pub fn new(program: &OsStr, credential: PathBuf, idle_timeout: Duration) -> Result<Self> {
        let program = match program.as_bytes() {
            [] => return Err(Error::refused(program, "the name of the switcher is empty")),
            name if name.contains(&b'/') => PathBuf::from(program),
            _ => find_in_path(program)?,
        };
        // It is executed in another directory.
        let program = std::path::absolute(&program).at("find the switcher", &program)?;
        Ok(Switcher {
            program,
            credential,
            agent: installed_program(AGENT)?,
            idle_timeout,
            separates_groups: false,
            lease_user: None,
            withholds_credential: false,
            halt: None,
            handover: Handover::Copy,
            log_id: None,
            session_scripts: None,
            world: Spec::Shared,
        })
    }

    /// The same, but each call is in a separate process group: signals that a terminal sends to
    /// the caller's process group do not end it.
    #[must_use]
    pub fn in_separate_groups(self) -> Self {
        Switcher { separates_groups: true, ..self }
    }

    /// The same, but a sandbox is handed over without the credential.
    #[must_use]
    pub fn withholding_credential(self) -> Self {
        Switcher { withholds_credential: true, ..self }
    }

    /// The same, but `halt` ends its transfers early.
    #[must_use]
    pub fn with_halt(self, halt: Halt) -> Self {
        Switcher { halt: Some(halt), ..self }
    }

    /// The same, but its sandboxes change hands in this way. Without it they are copied.
    #[must_use]
    pub fn with_handover(self, handover: Handover) -> Self {
        Switcher { handover, ..self }
    }

    /// The same, but its calls have this id in the log.
    #[must_use]
    pub fn with_log_id(self, log_id: Option<String>) -> Self {
        Switcher { log_id, ..self }
    }

    /// The same, but the project's `glexec` runs the session scripts of this directory.
    #[must_use]
    pub fn with_session_scripts(self, session_scripts: Option<PathBuf>) -> Self {
        Switcher { session_scripts, ..self }
    }

    /// The same, but if it is the project's `glexec`, its payloads have this world.
    #[must_use]
    pub fn with_world(self, world: Spec) -> Self {
        Switcher { world, ..self }
    }

    /// The same, but if it is the project's `glexec` and makes a new lease, it does so for this
    /// user, or fails.
    #[must_use]
    pub fn with_lease_for(self, user: Uid) -> Self {
        Switcher { lease_user: Some(user), ..self }
    }

    /// The same, but with an idle timeout of at most 30 seconds: for operations that take little
    /// time, so that a stopped agent does not delay its caller for long.
    #[must_use]
    pub fn with_short_idle_timeout(&self) -> Self {
        const SHORT: Duration = Duration::from_secs(30);
        let idle_timeout =
            if self.idle_timeout.is_zero() { SHORT } else { self.idle_timeout.min(SHORT) };
        Switcher { idle_timeout, ..self.clone() }
    }

    /// How its sandboxes change hands. A switcher that is not the `glexec` that is installed beside
    /// this program can only have them copied.
    pub fn handover(&self) -> Handover {
        if is_project_glexec(&self.program) { self.handover } else { Handover::Copy }
    }

    /// The world of its payloads. A switcher that is not the `glexec` that is installed beside this
    /// program can only give them the shared one.
    pub fn world(&self) -> &Spec {
        if is_project_glexec(&self.program) { &self.world } else { &Spec::Shared }
    }

    /// The options for the world of an operation: only `enter` becomes a payload.
    fn world_options(&self, operation: &Operation) -> Vec<OsString> {
        match operation {
            Operation::Enter { .. } if self.world().is_closed() => self.world().to_words(),
            _ => Vec::new(),
        }
    }

    /// Whether a change of owner is tried.
    pub fn changes_owners(&self) -> bool {
        self.handover() != Handover::Copy
    }

    /// What ends its transfers early.
    pub fn halt(&self) -> Option<Halt> {
        self.halt.clone()
    }

    /// The name of the file that is not handed over with a sandbox.
    pub fn withheld_file(&self) -> Option<OwnedName> {
        let name = self.credential.file_name().filter(|_| self.withholds_credential)?;
        OwnedName::new(name.as_bytes().to_vec())
    }

    /// How long a call may make no progress; zero means no limit.
    pub fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// The switcher's program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A call for an operation of the agent. It must be made from a directory that every user can
    /// enter.
    pub fn command(&self, operation: &Operation) -> Command {
        let mut words = self.world_options(operation);
        if !words.is_empty() {
            words.push("--".into());
        }
        words.push(self.agent.clone().into_os_string());
        self.own_command(words.into_iter().chain(operation.to_args()))
    }

    /// A call of the project's `glexec` that hands a directory over to an operation of the agent.
    /// `report` is the number of the descriptor for its reports.
    pub fn command_handing_over(
        &self,
        directory: &Path,
        links: Links,
        report: i32,
        operation: &Operation,
    ) -> Command {
        let report = report.to_string();
        let words: [&OsStr; 6] = [
            "--hand-over".as_ref(),
            directory.as_os_str(),
            "--links".as_ref(),
            links_option(links).as_ref(),
            "--report".as_ref(),
            report.as_ref(),
        ];
        let mut words: Vec<OsString> = words.map(OsString::from).into();
        words.extend(self.world_options(operation));
        words.extend(["--".into(), self.agent.clone().into_os_string()]);
        self.own_command(words.into_iter().chain(operation.to_args()))
    }

    /// The same with any arguments, such as options of the project's `glexec`.
    pub fn own_command(&self, words: impl IntoIterator<Item = OsString>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words);
        command.env(CREDENTIAL, &self.credential);
        // Without this gLExec leaves a copy of the proxy in /tmp.
        command.env("GLEXEC_TARGET_PROXY", "/dev/null");
        // The project's `glexec` writes to the same log.
        if std::env::var_os("GLEXEC_HELPERS_LOG").is_some()
            && std::env::var_os("GLEXEC_ID").is_none()
        {
            let of_directory = || self.credential.parent().and_then(log_id_of);
            if let Some(log_id) = self.log_id.clone().or_else(of_directory) {
                command.env("GLEXEC_ID", log_id);
            }
        }
        if let Some(directory) = &self.session_scripts {
            command.env("GLEXEC_SESSION_SCRIPTS", directory);
        }
        if let Some(user) = self.lease_user {
            command.env("GLEXEC_LEASE_UID", user.to_string());
        }
        command
    }
}

/// The value of the option `--links` of the project's `glexec`.
pub fn links_option(links: Links) -> &'static str {
    match links {
        Links::Copy => "copy",
        Links::Keep => "keep",
        Links::Drop => "drop",
    }
}
