//! Session scripts of the caller's (`GLEXEC_SESSION_SCRIPTS`): they run as the caller, outside of
//! the payload's namespace, around payloads only.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use command::accounts;
use command::log::sandbox_of_credential;
use command::refusal::{Refusal, Result};
use error::Shown;
use hooks::session::changes::Changes;
use hooks::session::{self, Facts, Outcome, Session, Setup};
use sys::process;
use sys::wait::End;

use crate::ranges::Ids;
use crate::request::Request;

/// How long a script that is waited for may run.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The scripts of a call, before its payload.
#[derive(Debug)]
pub(crate) struct Scripts {
    directories: Vec<PathBuf>,
    /// None if there is no script.
    facts: Option<Facts>,
}

impl Scripts {
    /// The scripts of a request whose command is a payload, and not an operation of the helpers.
    pub(crate) fn of(request: &Request, ids: Ids) -> Scripts {
        let directories = request.scripts.clone();
        let facts = session::has_scripts(&directories).then(|| Scripts::facts(request, ids));
        Scripts { directories, facts }
    }

    fn facts(request: &Request, ids: Ids) -> Facts {
        let credential = &request.wish.credential.path;
        let sandbox = sandbox_of_credential(credential);
        let has_sandbox = sandbox != *credential;
        let caller = process::geteuid();
        // Without an entry in /etc/passwd the number is the name: no name service is asked.
        let name = accounts::local_of(caller).map(|account| account.name);
        Facts {
            id: session::new_id(),
            since: session::now(),
            caller: name.unwrap_or_else(|| caller.to_string().into_bytes()),
            user: ids.user.to_string().into_bytes(),
            uid: ids.user,
            gid: ids.group,
            home: b"/".to_vec(),
            command: session::command_line(&request.command),
            sandbox: if has_sandbox { sandbox.as_os_str().as_bytes().to_vec() } else { Vec::new() },
            credential: credential.as_os_str().as_bytes().to_vec(),
            pid: process::getpid(),
        }
    }

    /// Runs the scripts that a killed call has left to run, and then those of the payload's begin,
    /// if the caller has any. `state` is the directory of the leases, which has the registry.
    pub(crate) fn begin(
        self,
        state: &Path,
        notes: &mut Vec<String>,
    ) -> Result<Option<(Session, Changes)>> {
        let failed = |error: error::Error| Refusal::internal(format!("session scripts: {error}"));
        let Scripts { directories, facts } = self;
        let setup = Setup {
            directories,
            trusted: vec![process::geteuid()],
            identity: None,
            timeout: TIMEOUT,
            refuses: true,
            registry: state.to_owned(),
        };
        notes.extend(session::sweep(&setup).map_err(failed)?);
        let Some(facts) = facts else { return Ok(None) };
        match Session::begin(setup, facts, notes).map_err(failed)? {
            Ok((session, changes)) => {
                print(&changes);
                if changes.root.is_some() {
                    notes.push(
                        "session scripts: GLEXEC_ROOT is for a glexec with root's rights: it has \
                         no effect here, see --root"
                            .to_owned(),
                    );
                }
                Ok(Some((session, changes)))
            }
            Err(why) => Err(Refusal::internal(why.why)),
        }
    }
}

/// Writes the texts of the scripts to the payload's standard output, before the payload does.
fn print(changes: &Changes) {
    let mut stdout = std::io::stdout().lock();
    for text in &changes.print {
        let _ = stdout.write_all(&[text.as_bytes(), b"\n"].concat());
    }
    let _ = stdout.flush();
}

/// Runs the scripts of the payload's end.
pub(crate) fn end(session: Session, ended: &Result<End>, notes: &mut Vec<String>) {
    let outcome = match ended {
        Ok(end) => Outcome::Ended(*end),
        Err(refusal) => Outcome::Refused(refusal.status as u8),
    };
    session.end(outcome, notes);
}

/// Reads `GLEXEC_SESSION_SCRIPTS`: absolute paths of directories, joined by colons. A usage error
/// if one does not exist.
pub(crate) fn directories(value: Option<std::ffi::OsString>) -> Result<Vec<PathBuf>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let paths = value.as_bytes().split(|byte| *byte == b':').filter(|path| !path.is_empty());
    let path = |bytes: &[u8]| {
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        match path.is_absolute() && path.is_dir() {
            true => Ok(path),
            false => Err(Refusal::client(format!(
                "GLEXEC_SESSION_SCRIPTS is not the absolute path of a directory: {}",
                Shown::os(&path)
            ))),
        }
    };
    paths.map(path).collect()
}
