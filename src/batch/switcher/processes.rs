//! Which running processes are calls of the switcher, as /proc shows them.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use command::log::sandbox_of_credential;
use sys::proc::Variable;
use sys::{Pid, proc, process};
use wire::Operation;

use super::find::installed_program;
use super::program::{CREDENTIAL, Switcher};

impl Switcher {
    /// Whether a process of the calling user is a call of this switcher with this credential that
    /// has stayed above its command.
    pub fn is_called_by(&self, pid: Pid) -> bool {
        let credential = Variable::Set(self.credential.as_os_str().as_bytes().to_vec());
        is_same_file(&executable(pid), self.program())
            && is_own(pid)
            && proc::environment_variable(pid, CREDENTIAL) == Ok(credential)
    }

    /// Whether a process is a sudo, or a `glexec` of root's, that has stayed above the job of this
    /// credential's sandbox, as its command line shows.
    pub fn is_monitored_by(&self, pid: Pid) -> bool {
        let words: Vec<OsString> = proc::cmdline(pid).into_iter().map(OsString::from_vec).collect();
        let Some(agent) = words.iter().position(|word| **word == *self.agent) else { return false };
        let enters_sandbox = match Operation::parse(&words[agent + 1..]) {
            Ok(Operation::Enter { sandbox, .. }) => {
                sandbox == sandbox_of_credential(&self.credential)
            }
            _ => false,
        };
        enters_sandbox && (proc::is_named_sudo(pid) || proc::is_named_glexec(pid))
    }
}

/// Whether no project's `glexec`, also behind another switcher, is between this process and a
/// process that it has started, as far as /proc shows all that are between them.
pub fn is_without_project_glexec(pid: Pid) -> bool {
    let (own, above) = (process::getpid(), proc::ancestors(pid));
    let Some(between) = above.iter().position(|pid| *pid == own) else { return false };
    !above[..between].iter().any(|pid| is_project_glexec(&executable(*pid)))
}

/// Whether a process has the calling user's real and saved user id.
pub(super) fn is_own(pid: Pid) -> bool {
    proc::real_and_saved_uid(pid) == Some([process::geteuid(); 2])
}

/// Whether a file is the `glexec` that is installed beside this program.
pub fn is_project_glexec(file: &Path) -> bool {
    installed_program("glexec").is_ok_and(|glexec| is_same_file(file, &glexec))
}

/// The file that a process executes.
pub(super) fn executable(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/exe"))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    identity(one).is_some_and(|one| Some(one) == identity(other))
}
