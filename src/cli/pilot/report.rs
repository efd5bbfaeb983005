//! The report of `run` for programs: one line of JSON about all steps.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use error::Shown;
use serde_json::{Value, json};
use sys::{file, process, signal};

use super::limits;
use super::status::PilotStatus;
use super::steps::Record;
use crate::batch::pilot::error::{PilotError, Stage};
use crate::batch::pilot::run::Outcome;
use crate::batch::pilot::signals::StopReason;
use crate::batch::pilot::spec::PayloadSpec;

/// The file of `--report`, open for writing.
pub struct ReportFile {
    path: PathBuf,
    file: File,
}

impl ReportFile {
    /// Creates the file, or truncates one that belongs to the caller, and sets its mode to 0600. A
    /// symbolic link is not followed. A file with another name is refused: it would be truncated
    /// there too.
    pub fn open(path: PathBuf) -> anyhow::Result<ReportFile> {
        let option = || format!("--report {}", Shown::os(&path));
        let mut options = File::options();
        options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(file::NOFOLLOW_NONBLOCK);
        let opened = options.open(&path).with_context(option)?;
        let found = opened.metadata().with_context(option)?;
        if !found.is_file() || found.uid() != process::geteuid().as_raw() || found.nlink() != 1 {
            bail!(
                "{}: it must be a regular file of the caller, with one name; it was not changed",
                option()
            );
        }
        opened.set_permissions(std::fs::Permissions::from_mode(0o600)).with_context(option)?;
        opened.set_len(0).with_context(option)?;
        Ok(ReportFile { path, file: opened })
    }

    /// Writes the line.
    pub fn write(mut self, report: &Value) -> anyhow::Result<()> {
        let written = self.file.write_all(format!("{report}\n").as_bytes());
        written.with_context(|| format!("cannot write --report {}", Shown::os(&self.path)))
    }
}

/// The report of a call with a usage error or bad input.
pub fn of_usage_error(error: &str) -> Value {
    let failure = json!({ "stage": stage_name(Stage::Check), "error": error });
    json!({ "status": PilotStatus::UsageError as u8, "failures": [failure] })
}

/// The report of a run that has ended with `status` after the time `took`.
pub fn of_run(
    spec: &PayloadSpec,
    outcome: &Outcome,
    status: u8,
    took: Duration,
    record: Record,
) -> Value {
    let path = |path: &PathBuf| Shown::os(path).to_string();
    let failures: Vec<Value> = outcome
        .failures
        .iter()
        .map(|PilotError { stage, error }| {
            json!({ "stage": stage_name(*stage), "error": error.to_string() })
        })
        .collect();
    json!({
        "status": status,
        "payload_status": outcome.payload,
        "payload_end": outcome.wait,
        "ended_by": outcome.stop_reason.map(|reason| match reason {
            StopReason::Timeout => "timeout".to_owned(),
            StopReason::Limit(exceeded) => exceeded.limit.name().to_owned(),
            StopReason::Signal(number) => format!("SIG{}", signal::name(number)),
        }),
        "limits": limits::report_of_plan(&outcome.plan),
        "used": limits::report_of_used(&outcome.used),
        "sandbox": path(&spec.sandbox),
        "switcher": outcome.switcher.as_ref().map(path),
        "world": outcome.switcher.as_ref().map(|_| {
            if outcome.is_closed { "closed" } else { "shared" }
        }),
        "output": spec.output.as_ref().map(path),
        "failures": failures,
        "notices": record.notices,
        "milliseconds": took.as_secs_f64() * 1000.0,
        "steps": record.steps,
    })
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Check => "check",
        Stage::SetUp => "setup",
        Stage::Start => "start",
        Stage::CleanUp => "cleanup",
    }
}
