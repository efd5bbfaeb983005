//! `condor_glexec_pilot run`

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::ArgMatches;
use error::Shown;
use serde_json::Value;
use sys::spawn::Inherited;

use super::report::{self, ReportFile};
use super::status::PilotStatus;
use super::steps::{self, Record};
use super::{NAME, options, run_order};
use crate::batch::pilot::error::{PilotError, Stage};
use crate::batch::pilot::run::{self, Outcome};
use crate::batch::pilot::signals::StopReason;
use crate::cli::notice;

/// Runs the subcommand.
pub fn main(matches: &ArgMatches, inherited: Inherited) -> ExitCode {
    let started = Instant::now();
    let file = match options::path(matches, "report")
        .and_then(|path| path.map(ReportFile::open).transpose())
    {
        Ok(file) => file,
        Err(error) => return super::refuse(&error),
    };
    let spec = match run_order::from_arguments(matches, inherited) {
        Ok(spec) => spec,
        Err(error) => {
            let status = super::refuse(&error);
            write_report(file, &report::of_usage_error(&format!("{error:#}")));
            return status;
        }
    };
    let mut record = Record::default();
    let outcome = steps::record(&spec.sandbox, &mut record, |step_log| run::run(&spec, step_log));
    let status = status(&outcome);
    for PilotError { stage, error } in &outcome.failures {
        super::say(format_args!("{}: {error}", consequence(*stage, &outcome)));
    }
    if spec.keeps_sandbox && outcome.switcher.is_some() {
        let line = format!("{NAME}: the sandbox is {}", Shown::os(&spec.sandbox));
        notice::print(&line);
        record.notices.push(line);
    }
    let report = report::of_run(&spec, &outcome, status, started.elapsed(), record);
    if matches.get_flag("json") {
        // Standard output is the payload's.
        let _ = writeln!(std::io::stderr(), "{report}");
    }
    write_report(file, &report);
    ExitCode::from(status)
}

/// Writes the report, if `--report` was given. A failure changes nothing about the payload: it is
/// printed, and has no exit status.
fn write_report(file: Option<ReportFile>, report: &Value) {
    if let Some(Err(error)) = file.map(|file| file.write(report)) {
        super::say(format_args!("{error:#}"));
    }
}

/// The exit status: that of the stage that failed last, or else the payload's.
fn status(outcome: &Outcome) -> u8 {
    let failed = outcome.failures.last().map(|failure| match failure.stage {
        Stage::Check => PilotStatus::UsageError,
        Stage::SetUp => PilotStatus::SetupFailed,
        Stage::Start => PilotStatus::StartFailed,
        Stage::CleanUp => PilotStatus::CleanupFailed,
    });
    match (failed, outcome.payload, outcome.stop_reason) {
        (Some(failed), ..) => failed as u8,
        (None, Some(240..=244), _) => PilotStatus::PayloadStatusReserved as u8,
        (None, Some(status), _) => u8::try_from(status).unwrap_or(u8::MAX),
        (None, None, Some(StopReason::Signal(number))) => {
            u8::try_from(128 + number).unwrap_or(u8::MAX)
        }
        (None, None, Some(StopReason::Timeout | StopReason::Limit(_)) | None) => {
            PilotStatus::StartFailed as u8
        }
    }
}

/// What the failure of a stage means for the caller.
fn consequence(stage: Stage, outcome: &Outcome) -> String {
    match (stage, outcome.payload) {
        (Stage::Check, _) => "nothing was done".to_owned(),
        (Stage::SetUp, _) => "the sandbox could not be handed over".to_owned(),
        (Stage::Start, _) => "the payload could not be started".to_owned(),
        (Stage::CleanUp, Some(status)) => {
            format!("the payload ended with status {status}, but its files are not back")
        }
        (Stage::CleanUp, None) => {
            "the payload did not begin, and the files are not back".to_owned()
        }
    }
}
