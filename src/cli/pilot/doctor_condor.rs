//! `condor_glexec_pilot doctor --condor`: whether a node can run jobs through `wrap`, as attributes
//! of a ClassAd.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use sys::{prctl, process};

use super::doctor::MAX_TIMEOUT;
use super::status::PilotStatus;
use super::{options, steps, wrap};
use crate::batch::doctor::finding::Level;
use crate::batch::doctor::{self, Examination, Options};
use crate::batch::pilot::candidates::{Candidate, SwitcherKind};
use crate::batch::switcher::is_project_glexec;
use crate::batch::wrap::marker;
use crate::batch::wrap::scratch::directory_for;
use crate::batch::wrap::settings::Settings;
use crate::batch::wrap::{sweep, trials, world};

/// What a job gets here.
struct Service {
    switcher: String,
    is_closed: bool,
    /// How many jobs can have a user id of their own now; none if that is not known here.
    free: Option<u32>,
}

/// Runs the subcommand with `--condor`.
pub fn main(matches: &ArgMatches) -> ExitCode {
    let execute = match options::execute_path(matches) {
        Ok(execute) => execute,
        Err(error) => return super::refuse(&error),
    };
    let _ = sys::environment::take();
    let text = match examined(execute) {
        Ok(text) => text,
        Err(error) => attributes(Some(&error.to_string()), None),
    };
    // A startd that has gone reads nothing.
    let _ = std::io::stdout().write_all(text.as_bytes());
    PilotStatus::Success.into()
}

/// The attributes of this node.
fn examined(execute: PathBuf) -> anyhow::Result<String> {
    let settings = Settings::read(&wrap::settings_of_program()?)?;
    wrap::set_environment(&settings)?;
    let directory = match &settings.directory {
        Some(directory) => directory.clone(),
        None => directory_for(&execute)?,
    };
    // What killed jobs have left is removed now and then.
    let swept = steps::record_quietly(&directory, |step_log| {
        sweep::sweep(&settings, &directory, None, step_log)
    });
    // The trial leases some.
    let free = glexec::free_ids(process::geteuid()).ok();
    let trials = trials::begin(&directory)?;
    let examination = doctor::examine(&Options {
        glexec: settings.glexec.clone(),
        credential: settings.credential.clone(),
        proxy: None,
        execute: trials.path.clone(),
        idle_timeout: settings.idle_timeout.min(MAX_TIMEOUT),
    });
    let world = world::means(&settings, &execute.canonicalize().unwrap_or(execute));
    let service = examination.best.as_ref().map(|best| {
        let switcher = switcher(best);
        Service {
            is_closed: world.as_ref().is_ok_and(Option::is_some),
            free: free.filter(|_| switcher == ROOTLESS),
            switcher,
        }
    });
    let reason = reason(&examination)
        .or(marker::read(&directory).map(|(_, why)| why))
        .or(swept.err().map(|error| error.to_string()))
        .or(world.err().map(|error| error.to_string()));
    Ok(attributes(reason.as_deref(), service.as_ref()))
}

/// The first problem.
fn reason(examination: &Examination) -> Option<String> {
    let problem = examination.findings.iter().find(|finding| finding.level == Level::Problem)?;
    Some(format!("{}: {}", problem.what, problem.text))
}

/// The project's `glexec` without privilege.
const ROOTLESS: &str = "glexec";

/// The word for a switcher; for a program that is not the project's, its path.
fn switcher(best: &Candidate) -> String {
    // With no_new_privs a set-user-ID bit has no effect.
    let is_privileged = best.kind == Some(SwitcherKind::Glexec) && !prctl::get_no_new_privs();
    let path = best.program.to_string_lossy().into_owned();
    match best.kind {
        Some(SwitcherKind::Sudo) => "glexec-sudo".to_owned(),
        Some(_) if !is_project_glexec(&best.program) => path,
        Some(_) if is_privileged => "glexec setuid".to_owned(),
        Some(_) if glexec::asks_daemon() => "glexecd".to_owned(),
        Some(_) => ROOTLESS.to_owned(),
        None => path,
    }
}

/// The attributes, one per line, and the line that ends them. The node is fit if there is no
/// reason against it.
fn attributes(reason: Option<&str>, service: Option<&Service>) -> String {
    let mut text = String::new();
    let boolean = |is_so| if is_so { "True" } else { "False" };
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} = {value}");
    };
    line("GLEXEC_FIT", boolean(reason.is_none()));
    // One attribute that stays, so that an old reason does not.
    line("GLEXEC_REASON", &quoted(reason.unwrap_or_default()));
    if let Some(Service { switcher, is_closed, free }) = service {
        line("GLEXEC_SWITCHER", &quoted(switcher));
        line("GLEXEC_WORLD", &quoted(if *is_closed { "closed" } else { "shared" }));
        if let Some(free) = free {
            line("GLEXEC_FREE_UIDS", &free.to_string());
        }
    }
    line("GLEXEC_NO_NEW_PRIVS", boolean(prctl::get_no_new_privs()));
    line("GLEXEC_VERSION", &quoted(env!("CARGO_PKG_VERSION")));
    text + "-\n"
}

/// A string of a ClassAd, in one line.
fn quoted(text: &str) -> String {
    let plain = text.replace(char::is_control, " ");
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_string() {
        let text = attributes(Some("a \"b\" \\ \n c"), None);
        assert!(text.starts_with("GLEXEC_FIT = False\n"));
        assert!(text.contains("GLEXEC_REASON = \"a \\\"b\\\" \\\\   c\"\n"), "{text}");
        assert!(attributes(None, None).contains("GLEXEC_REASON = \"\"\n"));
    }
}
