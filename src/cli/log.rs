//! The log: one JSON object a line for each operation, where `GLEXEC_HELPERS_LOG` says so.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::batch::Report;
use crate::shown::Shown;
use crate::sys::file;
use crate::wire::{Dropped, Totals};

/// Where the log goes: the path of a file, `syslog`, or `stderr`.
const NAME: &str = "GLEXEC_HELPERS_LOG";

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

/// Writes the line, if a log is wanted. An operation does not fail for its log: what went wrong is returned to be said.
pub fn write(operation: &Operation<'_, '_>) -> Result<(), String> {
    let Operation { helper, took, status, .. } = *operation;
    write_line(helper, took, status, facts(operation))
}

/// Whether a line is wanted.
pub fn is_wanted() -> bool {
    std::env::var_os(NAME).is_some_and(|place| !place.is_empty())
}

/// As [`write()`], for facts of any kind about what a program has done; those that every line has are added.
pub fn write_line(helper: &str, took: Duration, status: Option<u8>, facts: Value) -> Result<(), String> {
    let Some(place) = std::env::var_os(NAME).filter(|place| !place.is_empty()) else { return Ok(()) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut line = json!({
        "time": now.as_secs_f64(),
        "helper": helper,
        "pid": std::process::id(),
        "milliseconds": took.as_secs_f64() * 1000.0,
        "outcome": match status {
            None => "started",
            Some(0) => "ok",
            Some(_) => "failed",
        },
        "status": status,
    });
    if let (Some(line), Value::Object(facts)) = (line.as_object_mut(), facts) {
        line.extend(facts);
        line.retain(|_, value| !value.is_null());
    }
    let written = match place.to_str() {
        Some("stderr") => writeln!(std::io::stderr(), "{line}"),
        Some("syslog") => syslog(helper, &line.to_string()),
        // One write of a whole line: helpers that run at the same time do not mix theirs.
        _ => open(place.as_ref()).and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())),
    };
    written.map_err(|error| format!("warning: cannot write to the log {} ({NAME}): {error}", Shown::os(&place)))
}

/// Opens the log to append to it; a new one is its owner's alone, whatever the umask.
///
/// Its directory may be open to others. So neither a link that has its name is followed, nor a file written to that has another name as
/// well, and nothing is waited for: a FIFO, above all, for whose reader a program would wait.
fn open(path: &Path) -> std::io::Result<File> {
    let refused = |why: &str| Err(std::io::Error::other(why.to_owned()));
    let mut options = File::options();
    options.append(true).custom_flags(file::NO_LINK_NO_WAIT);
    let opened = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match options.clone().create_new(true).mode(0o600).open(path) {
                Ok(made) => file::set_mode(&made, 0o600).map(|()| made).map_err(Into::into),
                // Another program has made it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(path),
                failed => failed,
            }
        }
        opened => opened,
    }?;
    match opened.metadata()? {
        found if !found.is_file() => refused("it is not a regular file"),
        found if found.nlink() != 1 => refused("it has another name as well"),
        _ => Ok(opened),
    }
}

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

/// One message to the local system log, facility user, severity informational (syslog(3), RFC 3164).
fn syslog(helper: &str, line: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // A log that takes nothing for now loses a line; nothing else is kept waiting for it.
    socket.set_nonblocking(true)?;
    socket.send_to(format!("<14>{helper}[{}]: {line}", std::process::id()).as_bytes(), "/dev/log").map(drop)
}
