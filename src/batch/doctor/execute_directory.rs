//! The directory in which sandboxes are made.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use error::Shown;
use sys::space::{Restrictions, Space};
use sys::{Dir, process};

use super::closed_directories;
use super::finding::Finding;

const WHAT: &str = "execute directory";

/// With less free space, hardly a sandbox has room.
const MIN_FREE: u64 = 1 << 20;

/// Examines its mode, owner, mount options and free space.
pub(super) fn examine(path: &Path) -> Vec<Finding> {
    let shown = Shown::os(path).to_string();
    let (found, dir) = match std::fs::metadata(path).map(|found| (found, Dir::open(path))) {
        Ok((found, Ok(dir))) => (found, dir),
        Ok((_, Err(cause))) => {
            let text = format!("{shown}: {cause}");
            return vec![Finding::problem(WHAT, text, "name another one with --execute")];
        }
        Err(error) => {
            let text = format!("{shown}: {error}");
            return vec![Finding::problem(WHAT, text, format!("`mkdir -m 1777 {shown}`"))];
        }
    };
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mut findings = closed_directories::on_the_way_to(&real.join("sandbox"));
    findings.extend(mode(path, &shown, &found));
    findings.extend(owner(&shown, &found));
    findings.extend(mount_options(&shown, &dir));
    findings.extend(free_space(&shown, &dir));
    if findings.is_empty() {
        findings.push(Finding::ok(WHAT, shown));
    }
    findings
}

/// The search bit for others is examined with the directories on the way.
fn mode(path: &Path, shown: &str, found: &Metadata) -> Option<Finding> {
    if found.mode() & 0o1002 == 0o1002 {
        return None;
    }
    let text = format!(
        "{shown} has mode {:o}; both users must be able to create directories there, and neither \
         may rename the other's",
        found.mode() & 0o7777
    );
    // A directory with content, such as a home, must not become accessible to all users.
    let is_empty = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let advice = match is_empty {
        true => format!("`chmod 1777 {shown}`"),
        false => format!("`mkdir -m 1777 {shown}/execute`, and name this directory with --execute"),
    };
    Some(Finding::problem(WHAT, text, advice))
}

fn owner(shown: &str, found: &Metadata) -> Option<Finding> {
    let uid = found.uid();
    let is_trusted = uid == 0 || uid == process::geteuid().as_raw();
    (!is_trusted).then(|| {
        let text = format!("{shown} belongs to uid {uid}, which can rename every sandbox in it");
        Finding::problem(
            WHAT,
            text,
            "name a directory that belongs to root or to you with --execute",
        )
    })
}

fn mount_options(shown: &str, dir: &Dir) -> Vec<Finding> {
    let Ok(Restrictions { noexec, read_only, .. }) = Restrictions::of(dir) else {
        return Vec::new();
    };
    let advice = format!(
        "as root `mount -o remount,exec,rw \"$(df --output=target {shown} | tail -n 1)\"`, or name \
         another one with --execute"
    );
    let problems = [
        (noexec, "is mounted noexec: no program of a sandbox can be executed"),
        (read_only, "is mounted read-only"),
    ];
    let problems = problems.into_iter().filter(|(is_set, _)| *is_set);
    problems
        .map(|(_, text)| Finding::problem(WHAT, format!("{shown} {text}"), advice.clone()))
        .collect()
}

fn free_space(shown: &str, dir: &Dir) -> Option<Finding> {
    let Space { used, free, files_used, files_free } = Space::of(dir).ok().flatten()?;
    let text = format!("{shown} has room for {} MB and {files_free} files", free / 1_000_000);
    let is_scarce = |free: u64, used: u64| free < used.saturating_add(free) / 50;
    let advice = "free space, or name another one with --execute";
    if free < MIN_FREE || files_free == 0 {
        Some(Finding::problem(WHAT, text, advice))
    } else if is_scarce(free, used) || is_scarce(files_free, files_used) {
        Some(Finding::warning(WHAT, text, advice))
    } else {
        None
    }
}
