//! `condor_glexec_pilot doctor`

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use error::Shown;
use glexec::ranges;
use serde_json::{Value, json};
use sys::process;

use super::{NAME, Status, absolute, credential_path, execute_directory, log, text};
use crate::batch::doctor::{self, Finding, Level, Report, Subject};
use crate::batch::pilot::candidates::{Candidate, Kind};

/// Runs the command.
pub fn main(matches: &ArgMatches) -> ExitCode {
    let started = Instant::now();
    let subject = match subject(matches) {
        Ok(subject) => subject,
        Err(error) => return super::refuse(&error),
    };
    let report = doctor::examine(&subject);
    let status = if report.is_fit() { Status::Success } else { Status::Failed };
    let all = json(&report);
    // A caller that does not listen is no reason to fail.
    let _ = match matches.get_flag("json") {
        true => writeln!(std::io::stdout(), "{all}"),
        false => {
            write!(
                std::io::stdout(),
                "{}",
                lines(&report, subject.glexec.is_some(), std::io::stdout().is_terminal())
            )
        }
    };
    let error = (!report.is_fit()).then(|| "the node is not fit".to_owned());
    let facts = json!({ "step": "doctor", "error": error, "found": all });
    if let Err(warning) = log::write_facts(NAME, started.elapsed(), Some(status as u8), &facts) {
        super::say(warning);
    }
    ExitCode::from(status as u8)
}

/// A node whose switcher takes longer is not fit.
const PATIENCE: Duration = Duration::from_secs(30);

fn subject(matches: &ArgMatches) -> anyhow::Result<Subject> {
    let limit = crate::cli::idle_limit()?;
    let user = ranges::name_of(process::user()).unwrap_or_else(|| process::user().to_string());
    Ok(Subject {
        glexec: text(matches, "glexec").cloned(),
        credential: credential_path(matches)?,
        proxy: absolute(matches, "proxy")?,
        execute: execute_directory(matches)?,
        limit: if limit.is_zero() { PATIENCE } else { limit.min(PATIENCE) },
        shares_ids_with: ranges::shared_with(process::user()),
        command_for_ids: ranges::command_for_some(&user),
        user,
    })
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Problem => "problem",
    }
}

/// One line for each finding, and one for what comes of them.
fn lines(report: &Report, named: bool, colours: bool) -> String {
    let mut lines = String::new();
    for Finding { what, level, text, advice } in &report.findings {
        let colour = match level {
            Level::Ok => "\x1b[32m",
            Level::Warning => "\x1b[33m",
            Level::Problem => "\x1b[31m",
        };
        let (on, off) = if colours { (colour, "\x1b[0m") } else { ("", "") };
        let advice = advice.as_ref().map(|advice| format!(" -> {advice}")).unwrap_or_default();
        lines += &format!("{on}{:<8}{off} {what}: {text}{advice}\n", word(*level));
    }
    let verdict = match (&report.best, report.is_fit()) {
        (Some(Candidate { program, kind }), true) => {
            let why = kind.map(|kind| format!(": {}", kind.isolation())).unwrap_or_default();
            let which = if named { "with this --glexec" } else { "without --glexec" };
            format!("this node is fit; {which}, payloads go through {}{why}", Shown::os(program))
        }
        _ => "this node is not fit: see the problems above".to_owned(),
    };
    lines + &verdict + "\n"
}

fn json(report: &Report) -> Value {
    let finding = |Finding { what, level, text, advice }: &Finding| json!({ "what": what, "level": word(*level), "text": text, "advice": advice });
    json!({
        "fit": report.is_fit(),
        "switcher": report.best.as_ref().map(|best| Shown::os(&best.program).to_string()),
        "why": report.best.as_ref().and_then(|best| best.kind).map(Kind::isolation),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}
