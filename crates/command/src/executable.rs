//! Where a program is found by its name.

use std::ffi::OsStr;
use std::path::PathBuf;

use sys::access;

/// Where the programs of the system are: directories that only root can write to. The caller's PATH
/// is not searched for them.
const SYSTEM: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// The first file of this name in these directories that this process's user may execute.
pub fn find(name: &OsStr, directories: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let mut paths = directories.into_iter().map(|directory| directory.join(name));
    paths.find(|path| access::may_execute(path))
}

/// The absolute path of a program of the system, such as `getent`. The error says that it is not
/// installed, and where it was looked for.
pub fn of_system(name: &str) -> Result<PathBuf, String> {
    find(name.as_ref(), SYSTEM.iter().map(PathBuf::from))
        .ok_or_else(|| format!("{name} is not installed in {}", SYSTEM.join(", ")))
}
