//! What `run` tells programs: one line of JSON about all that was done.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use error::Shown;
use serde_json::{Value, json};
use sys::{file, process, signal};

use super::{Status, Told};
use crate::batch::pilot::order::Order;
use crate::batch::pilot::run::{Outcome, Stage};
use crate::batch::pilot::supervise::StopReason;

/// A file for the report, which nobody else has open.
pub struct ReportFile {
    path: PathBuf,
    file: File,
}

impl ReportFile {
    /// Makes it, or empties one of the caller's own; it is closed to others from then on. A link in
    /// its place is not followed.
    pub fn open(path: PathBuf) -> anyhow::Result<ReportFile> {
        let shown = || format!("--report {}", Shown::os(&path));
        let mut options = File::options();
        options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(file::NO_LINK_NO_WAIT);
        let opened = options.open(&path).with_context(shown)?;
        let found = opened.metadata().with_context(shown)?;
        if !found.is_file() || found.uid() != process::user().as_raw() || found.nlink() != 1 {
            bail!("{}: it is no regular file of yours with one name; it was left alone", shown());
        }
        opened.set_permissions(std::fs::Permissions::from_mode(0o600)).with_context(shown)?;
        opened.set_len(0).with_context(shown)?;
        Ok(ReportFile { path, file: opened })
    }

    /// Writes the line.
    pub fn write(mut self, report: &Value) -> anyhow::Result<()> {
        let written = self.file.write_all(format!("{report}\n").as_bytes());
        written.with_context(|| format!("cannot write --report {}", Shown::os(&self.path)))
    }
}

/// The report of a call that was wrong.
pub fn of_wrong_call(error: &str) -> Value {
    json!({ "status": Status::BadCall as u8, "failures": [{ "part": "order", "error": error }] })
}

/// All that was done.
pub fn of(order: &Order, outcome: &Outcome, status: u8, took: Duration, told: Told) -> Value {
    let shown = |path: &PathBuf| Shown::os(path).to_string();
    let failed = |stage: &Stage| match stage {
        Stage::Order => "order",
        Stage::SetUp => "setup",
        Stage::Switch => "switch",
        Stage::CleanUp => "cleanup",
    };
    let failures: Vec<Value> = outcome
        .failures
        .iter()
        .map(|(stage, error)| json!({ "part": failed(stage), "error": error }))
        .collect();
    json!({
        "status": status,
        "payload": outcome.payload,
        "wait": outcome.wait,
        "ended_by": outcome.asked.map(|asked| match asked {
            StopReason::Timeout => "timeout".to_owned(),
            StopReason::Signal(number) => format!("SIG{}", signal::name(number)),
        }),
        "sandbox": Shown::os(&order.sandbox).to_string(),
        "switcher": outcome.switcher.as_ref().map(shown),
        "output": order.output.as_ref().map(shown),
        "failures": failures,
        "notices": told.notices,
        "milliseconds": took.as_secs_f64() * 1000.0,
        "steps": told.steps,
    })
}
