//! The names of a sandbox and its job: the mark of the job's family, and the id in the log.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use error::{Context as _, Error, Result, Shown};
use sys::{Dir, Kind, Name, Time, process};

/// The value of the mark that every process of a job carries: the path of the retained directory
/// without symbolic links, so that every path of the sandbox gives the same value. The directory
/// itself need not exist.
pub fn family_of(retained: &Path) -> Result<OsString> {
    let (Some(parent), Some(name)) = (retained.parent(), retained.file_name()) else {
        return Err(Error::refused(retained, "the retained proxy must be in a directory"));
    };
    let parent = parent.canonicalize().at("find the real path of", parent)?;
    Ok(parent.join(name).into_os_string())
}

/// The id of a sandbox in the log, for setup, run, kill and cleanup: `GLEXEC_ID`, if it is set.
/// Otherwise it is unique on this machine at all times: the inode of the directory that is the
/// starter's working directory, and its time of birth, where the file system has that.
pub fn log_id_of(retained: &Path) -> Option<String> {
    let parent = Dir::open(retained.parent()?).ok()?;
    let retained = retained.file_name()?.as_bytes();
    log_id(&parent, Name::new(retained.strip_suffix(b".condor")?)?, Name::new(retained)?)
}

/// The same for the two names in an open directory.
pub(super) fn log_id(parent: &Dir, sandbox: Name<'_>, retained: Name<'_>) -> Option<String> {
    if let Some(id) = std::env::var_os("GLEXEC_ID").filter(|id| !id.is_empty()) {
        return Some(Shown::os(&id).to_string());
    }
    // One of the two is the batch user's: the sandbox, until setup has renamed it.
    let mut own = [sandbox, retained].into_iter().filter_map(|name| {
        let found = parent.stat(name).ok()?;
        (found.kind() == Kind::Directory && found.uid() == process::geteuid())
            .then_some((name, found))
    });
    let (name, found) = own.next()?;
    let born = parent.btime(name).unwrap_or(Time { seconds: 0, nanoseconds: 0 });
    Some(format!("{:x}.{:x}.{:x}", found.identity().1, born.seconds, born.nanoseconds))
}
