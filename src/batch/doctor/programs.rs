//! Where the helpers are: together, and where the job user can reach them.

use std::os::unix::fs::MetadataExt as _;

use error::Shown;

use super::{Finding, Level, closed_on_the_way};
use crate::batch::switcher::installed;

/// Those that run as the job user, with the mode that each is installed with.
const BEHIND_THE_SWITCHER: [(&str, u32); 2] =
    [("condor_glexec_agent", 0o711), ("condor_glexec_job_wrapper", 0o755)];

/// Looks at each of them.
pub fn examine() -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, mode) in BEHIND_THE_SWITCHER {
        let Ok(path) = installed(name) else { continue };
        let shown = Shown::os(&path);
        let reinstall =
            || "install all programs of one version into one directory, as scripts/install does";
        match std::fs::metadata(&path) {
            Err(error) => findings.push(Finding::bad(
                Level::Problem,
                name,
                format!("{shown}: {error}"),
                reinstall(),
            )),
            Ok(found) if found.mode() & 0o001 == 0 => findings.push(Finding::bad(
                Level::Problem,
                name,
                format!("{shown} can't be executed by the job user"),
                format!("`chmod {mode:o} {shown}`"),
            )),
            // Readable, it could be traced by what a job has left running (ptrace(2)).
            Ok(found) if found.mode() & 0o777 & !mode != 0 => findings.push(Finding::bad(
                Level::Warning,
                name,
                format!(
                    "{shown} has mode {:o}; a leftover process of a job could trace it",
                    found.mode() & 0o777
                ),
                format!("`chmod {mode:o} {shown}`"),
            )),
            Ok(_) => findings.push(Finding::ok(name, shown.to_string())),
        }
    }
    if let Ok(path) = installed(BEHIND_THE_SWITCHER[0].0) {
        findings.extend(closed_on_the_way(&path));
    }
    findings
}
