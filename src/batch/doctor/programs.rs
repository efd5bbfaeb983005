//! The programs that run as the job user: where they are, and their modes.

use std::os::unix::fs::MetadataExt as _;

use error::Shown;

use super::closed_directories;
use super::finding::Finding;
use crate::batch::switcher::installed_program;

/// Their names, and the mode that each is installed with.
const BEHIND_THE_SWITCHER: [(&str, u32); 2] =
    [("condor_glexec_agent", 0o711), ("condor_glexec_job_wrapper", 0o755)];

/// Examines each of them, and the directories on the way to them.
pub(super) fn examine() -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        BEHIND_THE_SWITCHER.iter().filter_map(|(name, mode)| examine_one(name, *mode)).collect();
    if let Ok(path) = installed_program(BEHIND_THE_SWITCHER[0].0) {
        findings.extend(closed_directories::on_the_way_to(&path));
    }
    findings
}

fn examine_one(name: &str, mode: u32) -> Option<Finding> {
    let path = installed_program(name).ok()?;
    let shown = Shown::os(&path);
    let found = match std::fs::metadata(&path) {
        Ok(found) => found.mode() & 0o777,
        Err(error) => {
            let advice =
                "install all programs of one version into one directory, as scripts/install does";
            return Some(Finding::problem(name, format!("{shown}: {error}"), advice));
        }
    };
    let advice = format!("`chmod {mode:o} {shown}`");
    Some(if found & 0o001 == 0 {
        let text = format!("{shown} cannot be executed by the job user");
        Finding::problem(name, text, advice)
    } else if found & !mode != 0 {
        // If it were readable, a process that a job left could trace it (ptrace(2)).
        let text = format!("{shown} has mode {found:o}; a process that a job left could trace it");
        Finding::warning(name, text, advice)
    } else {
        Finding::ok(name, shown.to_string())
    })
}
