//! Whether a node can run payloads: what is examined, what was found, and what to do.
//!
//! - [`finding`]: one result;
//! - `switchers`: the installed switchers, each tried with a payload; `trial`: one such trial;
//!   `advice`: what to do about one that does not work; `sudo`: what sudo allows the caller;
//!   `caller`: the caller's name and subordinate ids;
//! - `execute_directory`: the directory in which sandboxes are made;
//! - `programs`: the programs that run as the job user; `set_user_id`: `glexec` with the bit;
//!   `session_scripts`: which scripts would run around a payload;
//! - `isolation`: what the kernel isolates payloads from;
//! - `credential`: the credential; `expiry`: until when it is valid;
//! - `account_daemon`: the socket of the account daemon;
//! - `closed_directories`: directories that other users cannot pass.

mod account_daemon;
mod advice;
mod caller;
mod closed_directories;
mod credential;
mod execute_directory;
mod expiry;
pub mod finding;
mod isolation;
mod programs;
mod session_scripts;
mod set_user_id;
mod sudo;
mod switchers;
mod trial;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use finding::{Finding, Level};
use sys::{Dir, prctl};
pub(super) use trial::name_of_trial;

use super::pilot::candidates::Candidate;

/// What to examine.
#[derive(Debug)]
pub struct Options {
    /// The switcher; `None`: all that are installed.
    pub glexec: Option<OsString>,
    /// The switcher's credential, if there is one.
    pub credential: Option<PathBuf>,
    /// The payload's proxy, if there is one.
    pub proxy: Option<PathBuf>,
    /// The directory in which sandboxes are made.
    pub execute: PathBuf,
    /// How long a switcher may make no progress.
    pub idle_timeout: Duration,
}

/// The results.
#[derive(Debug)]
pub struct Examination {
    /// Everything that was examined.
    pub findings: Vec<Finding>,
    /// The first switcher that works.
    pub best: Option<Candidate>,
}

impl Examination {
    /// Whether payloads can run.
    pub fn is_fit(&self) -> bool {
        self.findings.iter().all(|finding| finding.level < Level::Problem)
    }
}

/// Examines everything. This process must have one thread.
pub fn examine(options: &Options) -> Examination {
    let mut findings = vec![privileges()];
    findings.extend(credential::examine(options.credential.as_deref(), options.proxy.as_deref()));
    findings.extend(execute_directory::examine(&options.execute));
    findings.extend(programs::examine());
    findings.extend(account_daemon::examine());
    findings.extend(set_user_id::examine());
    findings.extend(session_scripts::examine());
    findings.push(isolation::examine());
    // A trial needs a sandbox.
    let has_directory = Dir::open(&options.execute).is_ok();
    let (tried, best) =
        if has_directory { switchers::examine(options) } else { (Vec::new(), None) };
    findings.extend(tried);
    Examination { findings, best }
}

fn privileges() -> Finding {
    const WHAT: &str = "privileges";
    if !prctl::get_no_new_privs() {
        return Finding::ok(WHAT, "set-user-ID programs work for this process");
    }
    if account_daemon::is_there() {
        let text = "this process was started with no_new_privs: only the account daemon works";
        return Finding::ok(WHAT, text);
    }
    Finding::problem(
        WHAT,
        "this process was started with no_new_privs, so no switcher can work: neither sudo nor \
         newuidmap gets its rights",
        "start it without no_new_privs: not inside Apptainer without set-user-ID, and not under \
         systemd's NoNewPrivileges=yes",
    )
}
