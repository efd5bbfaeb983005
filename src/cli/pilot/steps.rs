//! What is logged and reported of each step of an operation.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::{NAME, progress};
use crate::batch::Report;
use crate::batch::pilot::step_log::{StepLog, UrgentNotice};
use crate::cli::{log, notice};

/// What was reported during an operation.
#[derive(Debug, Default)]
pub struct Record {
    /// The log fields of each step.
    pub steps: Vec<Value>,
    /// Each line for the caller that is not a failure.
    pub notices: Vec<String>,
}

/// Runs an operation whose steps are logged, and adds them to `record`. Lines for the caller are
/// printed when they come.
pub fn record<T>(
    sandbox: &Path,
    record: &mut Record,
    operation: impl FnOnce(&mut StepLog<'_>) -> T,
) -> T {
    record_with(notice::print, sandbox, record, operation)
}

/// The same, but no line is printed: standard error is the payload's.
pub fn record_quietly<T>(sandbox: &Path, operation: impl FnOnce(&mut StepLog<'_>) -> T) -> T {
    record_with(|_| (), sandbox, &mut Record::default(), operation)
}

fn record_with<T>(
    show: fn(&str),
    sandbox: &Path,
    record: &mut Record,
    operation: impl FnOnce(&mut StepLog<'_>) -> T,
) -> T {
    let Record { steps, notices } = record;
    // A line can come from a thread that transfers files.
    let printed = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&printed);
    let urgent: UrgentNotice = Arc::new(move |line: &str| {
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        show(line);
    });
    let (print, warn) = (Arc::clone(&urgent), Arc::clone(&urgent));
    let mut step_ended =
        |step: &'static str, report: &Report<'_>, took: Duration, error: Option<String>| {
            let (fields, warning) = write_to_log(step, report, took, error);
            if let Some(warning) = warning {
                warn(&format!("{NAME}: {warning}"));
            }
            steps.push(fields);
        };
    let mut print = move |line: &str| print(line);
    let mut step_log = StepLog {
        sandbox: sandbox.to_owned(),
        log_id: None,
        notice: &mut print,
        urgent,
        progress: &mut progress::of,
        step_ended: &mut step_ended,
    };
    let result = operation(&mut step_log);
    notices.append(&mut printed.lock().unwrap_or_else(PoisonError::into_inner));
    result
}

/// Writes the log line of a step that has ended. Returns its fields, and a warning if the line
/// could not be written.
fn write_to_log(
    step: &'static str,
    report: &Report<'_>,
    took: Duration,
    error: Option<String>,
) -> (Value, Option<String>) {
    let status = Some(u8::from(error.is_some()));
    let mut fields = log::fields(&log::Facts { helper: NAME, report, took, status, error });
    fields["step"] = step.into();
    if let Some(fields) = fields.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    let warning = log::write_fields(NAME, took, status, &fields).err();
    fields["milliseconds"] = (took.as_secs_f64() * 1000.0).into();
    (fields, warning)
}
