//! Why a user cannot execute a program, or search a directory.

use std::path::Path;

use sys::space::Restrictions;
use sys::{Errno, access, dir};

use crate::Shown;

/// Why `who`, the user of this process, cannot execute a program, and what to do. None if the error
/// number says as much.
pub fn why_not_executed(who: &str, program: &Path, cause: Errno) -> Option<String> {
    if cause == Errno::EACCES {
        if let Some(directory) = access::first_unsearchable(program) {
            return Some(why_unsearchable(who, &directory));
        }
    }
    Some(match cause {
        Errno::EACCES if program.is_dir() => "it is a directory".to_owned(),
        Errno::EACCES
            if Restrictions::at(program).is_ok_and(|restrictions| restrictions.noexec) =>
        {
            "its file system is mounted noexec: use another directory".to_owned()
        }
        Errno::EACCES if access::may_execute(program) => {
            format!(
                "{who} may not execute its interpreter, or the interpreter is on a file system \
                 that is mounted noexec"
            )
        }
        Errno::EACCES if dir::lstat(program).is_ok_and(|found| found.mode() & 0o111 == 0) => {
            "no user may execute it: run chmod a+rx on it".to_owned()
        }
        Errno::EACCES => {
            format!(
                "{who} may not execute it, or may not search a directory behind a symbolic link of \
                 the path: run chmod a+rx on it"
            )
        }
        Errno::ENOENT if program.exists() => "its interpreter does not exist".to_owned(),
        Errno::ENOEXEC => {
            "it is neither a program for this machine nor a script that begins with #!".to_owned()
        }
        _ => return None,
    })
}

/// That `who` has no search permission for a directory, and what to do.
pub fn why_unsearchable(who: &str, directory: &Path) -> String {
    let shown = Shown::os(directory);
    format!(
        "{who} may not search the directory {shown}: \
         run chmod o+x {shown}, or use another directory"
    )
}
