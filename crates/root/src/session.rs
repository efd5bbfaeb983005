//! What a session is: the call that runs a payload. The helpers call the switcher several times for
//! one job, and every other call is for their own agent.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hooks::trust::{self, Owners};
use wire::Operation;

/// What a call runs.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A payload: epilogue and session scripts run around it.
    Session,
    /// The installed agent, at this path, for an operation of the helpers.
    Operation(PathBuf),
}

/// The kind of a call. It is an operation only if the program that the caller names is the
/// installed agent: the same file, in the directory of this program, and trusted. Such a call
/// executes the returned path, so that the caller cannot put another program at the path that it
/// has named.
pub fn kind_of(command: &[OsString]) -> Kind {
    let installed = || {
        let (program, arguments) = command.split_first()?;
        let program = Path::new(program);
        if !program.is_absolute() {
            return None;
        }
        // Not an operation: a payload that enters its sandbox, and any other command.
        if matches!(Operation::parse(arguments).ok()?, Operation::Enter { .. }) {
            return None;
        }
        let agent = beside_this_program("condor_glexec_agent")?;
        let same = |other: &Path| {
            let (agent, other) = (agent.metadata().ok()?, other.metadata().ok()?);
            Some((agent.dev(), agent.ino()) == (other.dev(), other.ino()))
        };
        same(program)?.then_some(agent)
    };
    installed().map_or(Kind::Session, Kind::Operation)
}

/// A trusted program in the directory of this program: only root can change or replace it. None if
/// there is none: a hard link to this program in another user's directory has no program beside it.
pub fn beside_this_program(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(name);
    trust::open(&path, &Owners::ROOT).ok()?;
    Some(path)
}
