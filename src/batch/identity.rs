//! By which words a sandbox and its job are known to others: the mark of the job's family, and the
//! id in the log.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use error::{Context as _, Error, Result};
use sys::{Dir, Kind, Name, Time, process};

/// The value of the mark that every process of a job carries: the path of the retained directory,
/// with no link in it, so that every way to name the sandbox gives the same. The directory itself
/// may be gone.
pub fn family_of(retained: &Path) -> Result<OsString> {
    let (Some(parent), Some(name)) = (retained.parent(), retained.file_name()) else {
        return Err(Error::refused(retained, "the retained proxy is in a directory of its own"));
    };
    let parent = parent.canonicalize().at("find the real path of", parent)?;
    Ok(parent.join(name).into_os_string())
}

/// The name under which the log follows a sandbox through setup, run, kills and cleanup: the
/// caller's own (`GLEXEC_ID`), else what no other sandbox of this machine has or ever had: the
/// inode of the directory in which the starter stands, and the moment when it was made, where the
/// file system keeps that.
pub fn request_of(retained: &Path) -> Option<String> {
    let parent = Dir::open(retained.parent()?).ok()?;
    let retained = retained.file_name()?.as_bytes();
    request(&parent, Name::new(retained.strip_suffix(b".condor")?)?, Name::new(retained)?)
}

/// The same for the two names in an open directory.
pub(super) fn request(parent: &Dir, sandbox: Name<'_>, retained: Name<'_>) -> Option<String> {
    if let Some(name) = std::env::var_os("GLEXEC_ID").filter(|name| !name.is_empty()) {
        return Some(error::Shown::os(&name).to_string());
    }
    // It is the one of the two that is the batch user's; until a setup has moved it, the sandbox.
    let mut own = [sandbox, retained].into_iter().filter_map(|name| {
        let found = parent.stat(name).ok()?;
        (found.kind() == Kind::Directory && found.uid() == process::geteuid())
            .then_some((name, found))
    });
    let (name, found) = own.next()?;
    let born = parent.btime(name).unwrap_or(Time { seconds: 0, nanoseconds: 0 });
    Some(format!("{:x}.{:x}.{:x}", found.identity().1, born.seconds, born.nanoseconds))
}
