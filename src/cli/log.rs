//! Log lines of the helpers and of the pilot's command.

use std::time::Duration;

use command::log::Line;
use error::Shown;
use serde_json::{Value, json};
use wire::{Dropped, Totals};

use super::kill_report;
use crate::batch::Report;
use crate::batch::handover::Way;

/// What a line says of an operation, which has ended or continues as another program.
pub struct Facts<'a, 'r> {
    /// The name of the program.
    pub helper: &'a str,
    /// What the operation did.
    pub report: &'a Report<'r>,
    /// Its duration.
    pub took: Duration,
    /// The exit status; none if the operation continues as another program.
    pub status: Option<u8>,
    /// The error message after a failure.
    pub error: Option<String>,
}

/// Writes the line, if a log is configured. A failure to write is returned as a warning for the
/// caller: no operation fails because of its log.
pub fn write(facts: &Facts<'_, '_>) -> Result<(), String> {
    let Facts { helper, took, status, .. } = *facts;
    write_fields(helper, took, status, &fields(facts))
}

/// As [`write()`], with the given fields, which are the members of a JSON object. Members that are
/// null are omitted.
pub fn write_fields(
    helper: &str,
    took: Duration,
    status: Option<u8>,
    fields: &Value,
) -> Result<(), String> {
    let mut line = Line::default();
    for (name, value) in
        fields.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
    {
        line.json(name, value);
    }
    line.write(helper, took, status)
}

/// The fields about an operation, in addition to those that every log line has.
pub fn fields(facts: &Facts<'_, '_>) -> Value {
    let Facts { report, error, .. } = facts;
    let mut line = json!({
        "id": report.log_id,
        "sandbox": Shown::os(&report.about).to_string(),
        "switcher_failures": report.statuses,
        "payload_status": report.payload,
        "error": error,
    });
    if let Some(hunted) = &report.hunted {
        line["kill"] = kill_report::json(hunted);
    }
    if let Some((totals, dropped)) = report.moved {
        let Totals { directories, files, symlinks, links, bytes, passed, attributes } = totals;
        line["moved"] = json!({
            "directories": directories,
            "files": files,
            "symlinks": symlinks,
            "hard_links": links,
            "bytes": bytes,
            "bytes_by_descriptor": passed,
            "attributes": attributes,
        });
        let Dropped { specials, bits, attributes, unreadable, links } = dropped;
        line["dropped"] = json!({
            "special_files": specials,
            "mode_bits": bits,
            "attributes": attributes,
            "unreadable": unreadable,
            "links": links,
            "link_examples": report.left,
        });
    }
    match &report.way {
        None => {}
        Some(Way::Own { copied }) => {
            line["handover"] = "own".into();
            line["copied_files"] = copied.iter().cloned().collect();
        }
        Some(Way::Copy { reason }) => {
            line["handover"] = "copy".into();
            line["handover_reason"] = reason.clone().into();
        }
    }
    line
}
