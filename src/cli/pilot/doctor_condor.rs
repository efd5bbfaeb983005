//! `condor_glexec_pilot doctor --condor`: whether a node can run jobs through `wrap`, as attributes
//! of a ClassAd.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use error::Shown;
use sys::prctl;

use super::doctor::MAX_TIMEOUT;
use super::status::PilotStatus;
use super::{options, steps, wrap};
use crate::batch::doctor::finding::Level;
use crate::batch::doctor::{self, Examination, Options};
use crate::batch::pilot::candidates::{Candidate, SwitcherKind};
use crate::batch::wrap::marker;
use crate::batch::wrap::scratch::directory_for;
use crate::batch::wrap::settings::Settings;
use crate::batch::wrap::slot::Slot;
use crate::batch::wrap::sweep;

/// Runs the subcommand with `--condor`.
pub fn main(matches: &ArgMatches) -> ExitCode {
    let execute = match options::execute_path(matches) {
        Ok(execute) => execute,
        Err(error) => return super::refuse(&error),
    };
    let _ = sys::environment::take();
    let text = match examined(execute) {
        Ok(text) => text,
        Err(error) => attributes(false, Some(&error.to_string()), None),
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
    let examination = doctor::examine(&Options {
        glexec: settings.glexec.clone(),
        credential: settings.credential.clone(),
        proxy: None,
        execute: Slot::make_for_trials(&directory)?,
        idle_timeout: settings.idle_timeout.min(MAX_TIMEOUT),
    });
    let failed = marker::read(&directory);
    let is_fit = examination.is_fit() && failed.is_none() && swept.is_ok();
    let reason = reason(&examination)
        .or(failed.map(|(_, why)| why))
        .or(swept.err().map(|error| error.to_string()));
    Ok(attributes(is_fit, reason.as_deref().filter(|_| !is_fit), examination.best.as_ref()))
}

/// The first problem.
fn reason(examination: &Examination) -> Option<String> {
    let problem = examination.findings.iter().find(|finding| finding.level == Level::Problem)?;
    Some(format!("{}: {}", problem.what, problem.text))
}

/// The attributes, one per line.
fn attributes(is_fit: bool, reason: Option<&str>, best: Option<&Candidate>) -> String {
    let mut text = String::new();
    let boolean = |is_so| if is_so { "True" } else { "False" };
    let _ = writeln!(text, "GLEXEC_FIT = {}", boolean(is_fit));
    let mut string = |name: &str, value: &str| {
        let _ = writeln!(text, "{name} = {}", quoted(value));
    };
    string("GLEXEC_VERSION", env!("CARGO_PKG_VERSION"));
    if let Some(best) = best {
        string("GLEXEC_SWITCHER", &Shown::os(&best.program).to_string());
        string(
            "GLEXEC_KIND",
            match best.kind {
                Some(SwitcherKind::Rootless) => "rootless",
                Some(SwitcherKind::Glexec) => "site",
                Some(SwitcherKind::Sudo) => "sudo",
                None => "other",
            },
        );
    }
    // One attribute that stays, so that an old reason does not.
    string("GLEXEC_REASON", reason.unwrap_or_default());
    let _ = writeln!(text, "GLEXEC_NO_NEW_PRIVS = {}", boolean(prctl::get_no_new_privs()));
    text
}

/// A string of a ClassAd, in one line.
fn quoted(text: &str) -> String {
    let plain = text.replace(['\n', '\r', '\t'], " ");
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_string() {
        let text = attributes(false, Some("a \"b\" \\ \n c"), None);
        assert!(text.starts_with("GLEXEC_FIT = False\n"));
        assert!(text.contains("GLEXEC_REASON = \"a \\\"b\\\" \\\\   c\"\n"), "{text}");
        assert!(attributes(true, None, None).contains("GLEXEC_REASON = \"\"\n"));
    }
}
