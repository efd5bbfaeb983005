//! Session scripts around a payload: what the configuration says about them, and what they are
//! told.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use command::accounts;
use command::log::sandbox_of_credential;
use command::refusal::{Refusal, Result};
use error::Shown;
use hooks::session::{self, Facts, Outcome, Session, Setup};
use sys::signal::{SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU};
use sys::wait::End;
use sys::{Gid, Uid, process};

use crate::config::Config;
use crate::door::Found;
use crate::log::{Level, Log};
use crate::payload::Payload;

/// Where the sessions of this machine are registered. Every user can read it.
pub const REGISTRY: &str = "/run/glexec";

/// The scripts around a payload, of which there may be none.
pub(crate) struct Scripts<'a> {
    session: Option<Session>,
    /// The root directory that a script has named for the payload.
    root: Option<OsString>,
    log: Log<'a>,
}

impl<'a> Scripts<'a> {
    /// No scripts, as around the calls of the helpers' agent.
    pub(crate) fn none(log: Log<'a>) -> Scripts<'a> {
        Scripts { session: None, root: None, log }
    }

    /// Runs the scripts that a killed call has left to run, and those of the payload's begin, which
    /// can change its environment.
    pub(crate) fn begin(
        found: &Found,
        payload: &mut Payload,
        config: &'a Config,
        log: Log<'a>,
    ) -> Result<Scripts<'a>> {
        let failed = |error: error::Error| Refusal::internal(format!("session scripts: {error}"));
        let setup = setup(config)?;
        write(log, session::sweep(&setup).map_err(failed)?);
        if !session::has_scripts(&setup.directories) {
            return Ok(Scripts::none(log));
        }
        let mut notes = Vec::new();
        let begun = Session::begin(setup, facts(found, payload), &mut notes).map_err(failed);
        write(log, notes);
        match begun? {
            Ok((session, changes)) => {
                let mut stdout = std::io::stdout().lock();
                for text in &changes.print {
                    let _ = stdout.write_all(&[text.as_bytes(), b"\n"].concat());
                }
                let _ = stdout.flush();
                changes.apply(&mut payload.environment);
                Ok(Scripts { session: Some(session), root: changes.root, log })
            }
            Err(failed) => Err(Refusal::internal(failed.why)),
        }
    }

    /// The root directory that a script has named for the payload.
    pub(crate) fn root(&self) -> Option<&OsStr> {
        self.root.as_deref()
    }

    /// The session, for the descriptors that it needs.
    pub(crate) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Runs the scripts of a change, if the payload gets a signal that suspends or continues it.
    pub(crate) fn signalled(&mut self, number: i32) {
        let Some(session) = &mut self.session else { return };
        match number {
            SIGTSTP | SIGTTIN | SIGTTOU => session.changed(false),
            SIGCONT => session.changed(true),
            _ => {}
        }
    }

    /// Ends what runs in the background of the payload.
    pub(crate) fn payload_ended(&mut self) {
        if let Some(session) = &mut self.session {
            let mut notes = Vec::new();
            session.payload_ended(&mut notes);
            write(self.log, notes);
        }
    }

    /// Runs the scripts of the end: the payload has ended so, or was refused with this status.
    pub(crate) fn end(self, end: std::result::Result<End, u8>) {
        if let Some(session) = self.session {
            let mut notes = Vec::new();
            session.end(end.map_or_else(Outcome::Refused, Outcome::Ended), &mut notes);
            write(self.log, notes);
        }
    }
}

/// Refuses a payload that has scripts, where no process stays to run those of its end.
pub(crate) fn require_none(config: &Config) -> Result<()> {
    match session::has_scripts(&config.session_scripts) {
        false => Ok(()),
        true => Err(Refusal::internal(
            "session scripts need linger = yes: after the payload no process could run those of \
             its end; without them, set session_scripts to nothing",
        )),
    }
}

fn setup(config: &Config) -> Result<Setup> {
    let (user, group) = match &config.session_script_user {
        None => (Uid::from_raw(0), Gid::from_raw(0)),
        Some(name) => {
            let account = accounts::named(name.as_bytes())?.ok_or_else(|| {
                Refusal::internal(format!(
                    "there is no user {} (session_script_user)",
                    Shown::os(name)
                ))
            })?;
            (account.user, account.group)
        }
    };
    Ok(Setup {
        directories: config.session_scripts.clone(),
        trusted: vec![user],
        identity: Some((user, group)),
        timeout: config.session_script_timeout,
        refuses: config.session_script_refuses,
        registry: PathBuf::from(REGISTRY),
    })
}

fn facts(found: &Found, payload: &Payload) -> Facts {
    let Found { caller, credential, target, .. } = found;
    let sandbox = sandbox_of_credential(credential);
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    Facts {
        id: session::new_id(),
        since: session::now(),
        caller: caller.name.clone(),
        user: target.account.name.clone(),
        uid: target.identity.user,
        gid: target.identity.group,
        home: bytes(&target.account.home),
        command: session::command_line(&payload.command),
        sandbox: if sandbox == *credential { Vec::new() } else { bytes(&sandbox) },
        credential: bytes(credential),
        pid: process::getpid(),
    }
}

fn write(log: Log<'_>, notes: Vec<String>) {
    for note in notes {
        log.write(Level::Warning, note);
    }
}
