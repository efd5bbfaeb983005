//! The session scripts that would run around a payload, and those that would not.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use error::Shown;
use hooks::session::{self, Event};
use sys::{Uid, process};

use super::finding::Finding;
use crate::batch::switcher::installed_program;

const WHAT: &str = "session scripts";

/// The directories of a `glexec` with root's rights, unless its configuration names others.
const OF_MACHINE: [&str; 2] = ["/etc/glexec/session.d", "/usr/lib/glexec/session.d"];

/// Examines the caller's directories (`GLEXEC_SESSION_SCRIPTS`), or the machine's where the
/// installed `glexec` is set-user-ID. Without any script there is no finding.
pub(super) fn examine() -> Vec<Finding> {
    let is_set_user_id = installed_program("glexec")
        .and_then(|path| path.metadata().map_err(|_| error::Error::refused(path, "no file")))
        .is_ok_and(|found| found.mode() & 0o4000 != 0);
    let (directories, trusted): (Vec<PathBuf>, Vec<Uid>) = match is_set_user_id {
        true => (OF_MACHINE.map(PathBuf::from).into(), Vec::new()),
        false => {
            let value = std::env::var_os("GLEXEC_SESSION_SCRIPTS").unwrap_or_default();
            let paths = std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty());
            (paths.collect(), vec![process::geteuid()])
        }
    };
    let mut findings = Vec::new();
    for event in Event::ALL {
        let (scripts, passed_over) = session::examine(&directories, &trusted, event);
        if !scripts.is_empty() {
            let paths: Vec<String> =
                scripts.iter().map(|path| Shown::os(path).to_string()).collect();
            let text = format!("{}: these would run: {}", event.directory(), paths.join(", "));
            findings.push(Finding::ok(WHAT, text));
        }
        for line in passed_over {
            let advice = "correct what the line names, or remove the file";
            findings.push(Finding::warning(WHAT, line, advice));
        }
    }
    findings
}
