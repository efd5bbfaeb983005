//! Whether a node is fit: what is looked at, what was found, and what to do.
//!
//! - [`switchers`]: those that there are, each tried for real;
//! - [`place`]: the directory of the sandboxes;
//! - [`programs`]: where the helpers are;
//! - [`credential`]: the credential; [`expiry`]: until when it is valid.

pub mod credential;
pub mod expiry;
pub mod place;
pub mod programs;
pub mod switchers;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use error::Shown;
use sys::{Dir, prctl};

use crate::batch::pilot::candidates::Candidate;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Payloads can run, but something is not as it should be.
    Warning,
    /// Payloads can't run, or not as they should.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Finding {
    /// What it is.
    pub what: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do; commands are in backquotes.
    pub advice: Option<String>,
}

impl Finding {
    fn ok(what: &str, text: impl Into<String>) -> Self {
        Finding { what: what.into(), level: Level::Ok, text: text.into(), advice: None }
    }

    fn bad(level: Level, what: &str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Finding { what: what.into(), level, text: text.into(), advice: Some(advice.into()) }
    }
}

/// What is to be examined.
#[derive(Debug)]
pub struct Subject {
    /// The switcher, if it is not to be looked for.
    pub glexec: Option<OsString>,
    /// The switcher's credential, if there is one.
    pub credential: Option<PathBuf>,
    /// The payload's proxy, if there is one.
    pub proxy: Option<PathBuf>,
    /// The directory of the sandboxes.
    pub execute: PathBuf,
    /// How long the other side may make no progress.
    pub limit: Duration,
    /// The caller's name, for rules.
    pub user: String,
    /// Another owner of some of the caller's subordinate ids.
    pub shares_ids_with: Option<String>,
    /// What an administrator types to give the caller some that nobody has.
    pub command_for_ids: String,
}

/// What was found, and the switcher that is the best of those that work.
#[derive(Debug)]
pub struct Report {
    /// All that was looked at.
    pub findings: Vec<Finding>,
    /// The switcher.
    pub best: Option<Candidate>,
}

impl Report {
    /// Whether payloads can run.
    pub fn is_fit(&self) -> bool {
        self.findings.iter().all(|finding| finding.level < Level::Problem)
    }
}

/// Looks at everything. The process has one thread.
pub fn examine(subject: &Subject) -> Report {
    let mut findings = vec![privileges()];
    findings.extend(credential::examine(subject.credential.as_deref(), subject.proxy.as_deref()));
    findings.extend(place::examine(&subject.execute));
    findings.extend(programs::examine());
    // Where no sandbox can be made there is nothing to try them with.
    let has_place = Dir::open(&subject.execute).is_ok();
    let (tried, best) = if has_place { switchers::examine(subject) } else { Default::default() };
    findings.extend(tried);
    Report { findings, best }
}

fn privileges() -> Finding {
    const WHAT: &str = "privileges";
    if !prctl::get_no_new_privs() {
        return Finding::ok(WHAT, "set-user-ID programs work for this process");
    }
    Finding::bad(
        Level::Problem,
        WHAT,
        "this process was started with no_new_privs, so no switcher can work: neither sudo nor newuidmap gets its rights",
        "have it started without: not inside Apptainer without set-user-ID, nor under systemd's NoNewPrivileges=yes",
    )
}

/// The directories on the way to a file that others than their owner's group can't pass.
fn closed_on_the_way(path: &Path) -> Vec<Finding> {
    use std::os::unix::fs::MetadataExt as _;
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let is_closed = |directory: &&Path| {
        std::fs::metadata(directory).is_ok_and(|found| found.is_dir() && found.mode() & 0o001 == 0)
    };
    let closed = path.ancestors().skip(1).filter(is_closed);
    let finding = |directory: &Path| {
        let shown = Shown::os(directory);
        Finding::bad(
            Level::Problem,
            &shown.to_string(),
            format!("other users can't pass it, on the way to {}", Shown::os(&path)),
            format!("`chmod o+x {shown}`, or use another place"),
        )
    };
    closed.map(finding).collect()
}
