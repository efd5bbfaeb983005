//! The switcher's credential, and the payload's proxy.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use error::Shown;
use sys::process;

use super::expiry;
use super::finding::Finding;
use crate::batch::credential::read_credential_at;

/// A credential that is valid for less than this is reported.
const MIN_VALIDITY: Duration = Duration::from_secs(3600);

/// Examines the files that there are.
pub(super) fn examine(credential: Option<&Path>, proxy: Option<&Path>) -> Vec<Finding> {
    let mut findings = match credential {
        Some(path) => examine_one("credential", path),
        None => {
            let text = "none was given: the switcher gets a dummy credential";
            vec![Finding::ok("credential", text)]
        }
    };
    findings.extend(proxy.map(|path| examine_one("proxy", path)).into_iter().flatten());
    findings
}

fn examine_one(what: &str, path: &Path) -> Vec<Finding> {
    let shown = Shown::os(path);
    let content = match read_credential_at(path) {
        Ok(content) => content,
        Err(error) => {
            let advice = "name another file with --credential, --proxy or X509_USER_PROXY";
            return vec![Finding::problem(what, error.to_string(), advice)];
        }
    };
    let mut findings = Vec::new();
    if let Ok(found) = std::fs::metadata(path) {
        if found.uid() != process::geteuid().as_raw() {
            let text = format!("{shown} belongs to uid {}", found.uid());
            findings.push(Finding::problem(what, text, "use a credential that belongs to you"));
        }
        if found.mode() & 0o077 != 0 {
            let text = format!(
                "{shown} is accessible to group or others (mode {:04o})",
                found.mode() & 0o7777
            );
            findings.push(Finding::problem(what, text, format!("`chmod 600 {shown}`")));
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let renew =
        "renew it (a proxy with voms-proxy-init or a similar program; a token where you got it)";
    match expiry::of(&content) {
        Some(end) if end <= now => {
            let text = format!("{shown} has expired, {} ago", in_words(now - end));
            findings.push(Finding::problem(what, text, renew));
        }
        Some(end) if end - now < MIN_VALIDITY => {
            let text = format!("{shown} expires in {}", in_words(end - now));
            findings.push(Finding::warning(what, text, renew));
        }
        Some(end) if findings.is_empty() => {
            let text = format!("{shown}, valid for {}", in_words(end - now));
            findings.push(Finding::ok(what, text));
        }
        None if findings.is_empty() => findings.push(Finding::ok(what, shown.to_string())),
        _ => {}
    }
    findings
}

/// A time in the largest suitable unit.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86400),
    }
}
