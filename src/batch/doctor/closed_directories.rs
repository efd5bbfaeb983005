//! Directories that other users cannot pass.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use error::Shown;

use super::finding::Finding;

/// The directories on the way to a file that a user without special rights cannot pass.
pub(super) fn on_the_way_to(path: &Path) -> Vec<Finding> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let is_closed = |directory: &&Path| {
        std::fs::metadata(directory).is_ok_and(|found| found.is_dir() && found.mode() & 0o001 == 0)
    };
    let finding = |directory: &Path| {
        let shown = Shown::os(directory);
        Finding::problem(
            &shown.to_string(),
            format!(
                "other users cannot search this directory, which is above {}",
                Shown::os(&path)
            ),
            format!("`chmod o+x {shown}`, or use another directory"),
        )
    };
    path.ancestors().skip(1).filter(is_closed).map(finding).collect()
}
