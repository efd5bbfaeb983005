//! The project's `glexec` as a set-user-ID program: the bit, and the configuration that it then
//! needs.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use command::Status;
use error::Shown;
use sys::access;
use sys::space::Restrictions;
use sys::wait::End;

use super::account_daemon;
use super::finding::Finding;
use crate::batch::switcher::{installed_program, run_command};

const WHAT: &str = "set-user-ID glexec";

/// The configuration of a set-user-ID `glexec`.
const CONFIGURATION: &str = "/etc/glexec.conf";

/// Examines the `glexec` that is installed beside this program. Without one there is no finding.
pub(super) fn examine() -> Option<Finding> {
    let program = installed_program("glexec").ok()?;
    let found = std::fs::metadata(&program).ok()?;
    let shown = Shown::os(&program);
    if found.mode() & 0o4000 == 0 {
        let who = match account_daemon::is_there() {
            true => "the account daemon's accounts",
            false => "your subordinate users",
        };
        let text = format!("{shown} is not set-user-ID: payloads run as {who}");
        return Some(Finding::ok(WHAT, text));
    }
    Some(wrong_file(&program, &found).unwrap_or_else(|| configuration(&program)))
}

/// What is wrong with the file.
fn wrong_file(program: &Path, found: &Metadata) -> Option<Finding> {
    let shown = Shown::os(program);
    let (text, advice) = if found.uid() != 0 {
        let text = format!("{shown} is set-user-ID of uid {}, not of root", found.uid());
        (text, format!("as root `chown root {shown}; chmod 4755 {shown}`, or `chmod u-s {shown}`"))
    } else if found.mode() & 0o022 != 0 {
        let text = format!("users other than root can write to {shown}, which is set-user-ID root");
        (text, format!("as root `chmod go-w {shown}`, and check that it is unchanged"))
    } else if Restrictions::at(program).is_ok_and(|restrictions| restrictions.nosuid) {
        let text = format!("{shown} is set-user-ID, but its file system is mounted nosuid");
        (text, format!("install it on another file system, or as root `chmod u-s {shown}`"))
    } else {
        return None;
    };
    Some(Finding::problem(WHAT, text, advice))
}

/// Whether the configuration is there, and what `glexec --check-config` says of it.
fn configuration(program: &Path) -> Finding {
    let shown = Shown::os(program);
    let is_root = format!("{shown} is set-user-ID root");
    let conf = Path::new(CONFIGURATION);
    if !conf.exists() {
        let text = format!("{is_root}, but there is no {CONFIGURATION}: it refuses each call");
        let advice = format!("write it; or turn the bit off: as root `chmod u-s {shown}`");
        return Finding::problem(WHAT, text, advice);
    }
    if !access::may_read(conf) {
        let text = format!(
            "{is_root}; you may not read {CONFIGURATION}, so it was not checked: root can, with \
             {shown} --check-config"
        );
        return Finding::ok(WHAT, text);
    }
    let outcome = match run_command(program, &["--check-config".as_ref()]) {
        Ok(outcome) => outcome,
        Err(error) => return Finding::problem(WHAT, error.to_string(), "do what the message says"),
    };
    match outcome.end {
        Some(End::Exited(0)) if outcome.output.is_empty() => {
            Finding::ok(WHAT, format!("{is_root}; {CONFIGURATION} has no faults"))
        }
        Some(End::Exited(0)) => {
            let text = format!("{is_root}; {CONFIGURATION} has no faults: {}", outcome.output);
            Finding::ok(WHAT, text)
        }
        Some(End::Exited(CLIENT_ERROR)) => {
            let text = format!("{shown} has no --check-config: {CONFIGURATION} was not checked");
            let advice = "install all programs of one version into one directory";
            Finding::warning(WHAT, text, advice)
        }
        _ => {
            let advice =
                format!("correct {CONFIGURATION} as root; {shown} --check-config checks it");
            Finding::problem(WHAT, outcome.error().to_string(), advice)
        }
    }
}

/// The exit status of `glexec` for an option that it does not have.
const CLIENT_ERROR: i32 = Status::Client as i32;
