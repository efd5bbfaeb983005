//! What the log says of an operation of the helpers.

use std::time::Duration;

use command::log::Line;
use error::Shown;
use serde_json::{Value, json};
use wire::{Dropped, Totals};

use crate::batch::Report;

/// An operation that has ended.
pub struct Operation<'a, 'r> {
    /// The command.
    pub helper: &'a str,
    /// What it did.
    pub report: &'a Report<'r>,
    /// How long it took.
    pub took: Duration,
    /// Its exit status; none while it goes on, as another program.
    pub status: Option<u8>,
    /// Its error message, if it failed.
    pub error: Option<String>,
}

/// Writes the line, if a log is wanted. An operation does not fail for its log: what went wrong is
/// returned to be said.
pub fn write(operation: &Operation<'_, '_>) -> Result<(), String> {
    let Operation { helper, took, status, .. } = *operation;
    write_facts(helper, took, status, &facts(operation))
}

/// As [`write()`], for facts of any kind: the members of a JSON object. Those that are null are
/// left out.
pub fn write_facts(
    helper: &str,
    took: Duration,
    status: Option<u8>,
    facts: &Value,
) -> Result<(), String> {
    let mut line = Line::default();
    for (name, value) in
        facts.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
    {
        line.json(name, value);
    }
    line.write(helper, took, status)
}

/// What the log tells of an operation.
pub fn facts(operation: &Operation<'_, '_>) -> Value {
    let Operation { report, error, .. } = operation;
    let mut line = json!({
        "id": report.request,
        "sandbox": Shown::os(&report.about).to_string(),
        "switcher_failures": report.statuses,
        "payload": report.payload,
        "error": error,
    });
    if let Some(hunted) = &report.hunted {
        line["hunted"] = super::kill::json(hunted);
    }
    if let Some((totals, dropped)) = report.moved {
        let Totals { directories, files, symlinks, links, bytes, passed, attributes } = totals;
        line["moved"] = json!({
            "directories": directories, "files": files, "symlinks": symlinks, "hard_links": links, "bytes": bytes,
            "passed_bytes": passed, "attributes": attributes,
        });
        let Dropped { specials, bits, attributes, unreadable, links } = dropped;
        line["dropped"] = json!({
            "specials": specials, "mode_bits": bits, "attributes": attributes, "unreadable": unreadable,
            "links": links, "some_links": report.left,
        });
    }
    line
}
