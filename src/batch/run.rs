//! Running a job: this process becomes the switcher, which becomes the agent, the wrapper, and at
//! last the job.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use error::{Error, Result};
use sys::{Errno, exec, prctl, process, signal};
use wire::{Operation, PayloadLimits};

use super::error::{HelperError, HelperStatus};
use super::sandbox::Sandbox;
use super::switcher::Switcher;

/// Executes the switcher in this process. Descriptors 0, 1 and 2 are for the job: nothing is read
/// from them or written to them. Returns only if that failed.
pub fn run(
    sandbox: &Sandbox,
    switcher: &Switcher,
    wrapper: &OsStr,
    arguments: &[OsString],
) -> HelperError {
    let mark = match mark(sandbox, wrapper) {
        Ok(mark) => mark,
        Err(error) => return HelperError::bad_input(error),
    };
    let command = switcher.command(&Operation::Enter {
        sandbox: sandbox.path(),
        mark,
        limits: PayloadLimits::default(),
        wrapper: wrapper.into(),
        arguments: arguments.to_vec(),
    });
    signal::default_sigpipe();
    // The job must not outlive its starter. When a set-user-ID program such as sudo is executed,
    // the kernel clears this setting (PR_SET_PDEATHSIG, prctl(2)); the project's `glexec` kills all
    // processes that it has started.
    let bound = prctl::set_pdeathsig(signal::SIGKILL);
    let cause = match bound.and_then(|()| process::chdir(Path::new("/"))) {
        Ok(()) => exec::exec(&command),
        Err(cause) => cause,
    };
    signal::ignore_sigpipe();
    let path = switcher.program().as_os_str().as_bytes().to_vec();
    no_switcher(Error::System { step: "execute the switcher", path, cause })
}

/// The exit status for a switcher that could not be found or executed: as of a shell.
pub fn no_switcher(error: Error) -> HelperError {
    let status = match error {
        Error::System { cause: Errno::ENOENT | Errno::ENOTDIR, .. } => HelperStatus::NotFound,
        Error::System { .. } => HelperStatus::NotExecutable,
        _ => HelperStatus::BadInput,
    };
    HelperError::new(status, error)
}

/// The value of the mark of the job's family. The wrapper must be an absolute path.
fn mark(sandbox: &Sandbox, wrapper: &OsStr) -> Result<OsString> {
    if !Path::new(wrapper).is_absolute() {
        let why = "the wrapper must be an absolute path: it is executed in the job's sandbox";
        return Err(Error::refused(wrapper, why));
    }
    sandbox.family()
}
