//! The directory of the sandboxes.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use error::Shown;
use sys::space::{Restrictions, Space};
use sys::{Dir, process};

use super::{Finding, Level, closed_on_the_way};

const WHAT: &str = "execute directory";

/// Less than this, and hardly a sandbox fits.
const FULL: u64 = 1 << 20;

/// Looks at it.
pub fn examine(path: &Path) -> Vec<Finding> {
    let shown = Shown::os(path).to_string();
    let problem = |text: String, advice: String| Finding::bad(Level::Problem, WHAT, text, advice);
    let (found, dir) = match std::fs::metadata(path).map(|found| (found, Dir::open(path))) {
        Ok((found, Ok(dir))) => (found, dir),
        Ok((_, Err(cause))) => {
            return vec![problem(
                format!("{shown}: {cause}"),
                "name another one with --execute".into(),
            )];
        }
        Err(error) => {
            return vec![problem(format!("{shown}: {error}"), format!("`mkdir -m 1777 {shown}`"))];
        }
    };
    let mut findings = closed_on_the_way(
        &path.canonicalize().unwrap_or_else(|_| path.to_path_buf()).join("sandbox"),
    );
    // Its own bit for others was looked at with those on the way.
    if found.mode() & 0o1002 != 0o1002 {
        let text = format!(
            "{shown} has mode {:o}; both users must be able to make directories there, and neither to rename the other's",
            found.mode() & 0o7777
        );
        // What is in a home, for example, is not to be reached by everybody.
        let is_empty = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        findings.push(problem(
            text,
            match is_empty {
                true => format!("`chmod 1777 {shown}`"),
                false => format!("`mkdir -m 1777 {shown}/execute`, and name that with --execute"),
            },
        ));
    }
    if found.uid() != 0 && found.uid() != process::geteuid().as_raw() {
        let text = format!("{shown} is uid {}'s, who can rename every sandbox in it", found.uid());
        findings.push(problem(text, "name one of root's or of your own with --execute".into()));
    }
    if let Ok(restrictions) = Restrictions::of(&dir) {
        let elsewhere = format!(
            "as root `mount -o remount,exec,rw \"$(df --output=target {shown} | tail -n 1)\"`, or name another one with --execute"
        );
        if restrictions.noexec {
            let text =
                format!("{shown} is mounted noexec: no program of a sandbox can be executed");
            findings.push(problem(text, elsewhere.clone()));
        }
        if restrictions.read_only {
            findings.push(problem(format!("{shown} is mounted read-only"), elsewhere));
        }
    }
    if let Ok(Some(space)) = Space::of(&dir) {
        let Space { used, free, files_used, files_free } = space;
        let room = format!("{shown} has room for {} MB and {files_free} files", free / 1_000_000);
        let scarce = |free: u64, used: u64| free < used.saturating_add(free) / 50;
        let advice = "remove something, or name another one with --execute";
        if free < FULL || files_free == 0 {
            findings.push(problem(room, advice.into()));
        } else if scarce(free, used) || scarce(files_free, files_used) {
            findings.push(Finding::bad(Level::Warning, WHAT, room, advice));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(WHAT, shown));
    }
    findings
}
