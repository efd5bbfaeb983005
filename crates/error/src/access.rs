//! Why a program can't be executed, or a directory not passed.

use std::path::Path;

use sys::space::Restrictions;
use sys::{Errno, access, dir};

use crate::Shown;

/// What keeps `who`, the user of this process, from executing a program, as far as that can be
/// seen, and what to do; none where the kernel's answer says it all.
pub fn why_not_executed(who: &str, program: &Path, cause: Errno) -> Option<String> {
    if cause == Errno::EACCES {
        if let Some(directory) = access::first_unsearchable(program) {
            return Some(why_closed(who, &directory));
        }
    }
    Some(match cause {
        Errno::EACCES if program.is_dir() => "it is a directory".to_owned(),
        Errno::EACCES
            if Restrictions::at(program).is_ok_and(|restrictions| restrictions.noexec) =>
        {
            "its file system is mounted noexec: use another place".to_owned()
        }
        Errno::EACCES if access::may_execute(program) => {
            format!(
                "{who} may not execute its interpreter, or that is on a file system mounted noexec"
            )
        }
        Errno::EACCES if dir::lstat(program).is_ok_and(|found| found.mode() & 0o111 == 0) => {
            format!("{who} may not execute it, and neither may anybody else: chmod a+rx")
        }
        Errno::EACCES => {
            format!(
                "{who} may not execute it, or not pass a directory behind a link on the way: chmod a+rx"
            )
        }
        Errno::ENOENT if program.exists() => "its interpreter does not exist".to_owned(),
        Errno::ENOEXEC => {
            "it is no program for this machine, and no script that begins with #!".to_owned()
        }
        _ => return None,
    })
}

/// That `who` cannot pass a directory, and what to do.
pub fn why_closed(who: &str, directory: &Path) -> String {
    let shown = Shown::os(directory);
    format!("{who} cannot pass the directory {shown}: chmod o+x {shown}, or use another place")
}
