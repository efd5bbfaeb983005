//! The switcher's credential, and the payload's proxy.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use error::Shown;
use sys::process;

use super::{Finding, Level, expiry};
use crate::batch::credential::read_credential_at;

/// One that is valid no longer than this is soon of no use.
const SOON: Duration = Duration::from_secs(3600);

/// Looks at what there is.
pub fn examine(credential: Option<&Path>, proxy: Option<&Path>) -> Vec<Finding> {
    let mut findings = match credential {
        Some(path) => examine_one("credential", path),
        None => vec![Finding::ok("credential", "none was given: the switcher gets a placeholder")],
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
            return vec![Finding::bad(Level::Problem, what, error.to_string(), advice)];
        }
    };
    let mut findings = Vec::new();
    if let Ok(found) = std::fs::metadata(path) {
        if found.uid() != process::geteuid().as_raw() {
            let text = format!("{shown} is uid {}'s", found.uid());
            findings.push(Finding::bad(Level::Problem, what, text, "use a credential of your own"));
        }
        if found.mode() & 0o077 != 0 {
            let text = format!("{shown} has mode {:o}: others can use it", found.mode() & 0o7777);
            findings.push(Finding::bad(Level::Problem, what, text, format!("`chmod 600 {shown}`")));
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let renew = "renew it (a proxy with voms-proxy-init or its like; a token with whatever gives you tokens)";
    findings.extend(match expiry::of(&content) {
        Some(end) if end <= now => {
            let text = format!("{shown} has expired, {} ago", rounded(now - end));
            Some(Finding::bad(Level::Problem, what, text, renew))
        }
        Some(end) if end - now < SOON => {
            let text = format!("{shown} expires in {}", rounded(end - now));
            Some(Finding::bad(Level::Warning, what, text, renew))
        }
        Some(end) if findings.is_empty() => {
            Some(Finding::ok(what, format!("{shown}, valid for {}", rounded(end - now))))
        }
        None if findings.is_empty() => Some(Finding::ok(what, shown.to_string())),
        _ => None,
    });
    findings
}

/// In the largest unit that makes sense.
fn rounded(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86400),
    }
}
