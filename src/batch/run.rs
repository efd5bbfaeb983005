//! Running a job: becomes the switcher, which becomes the agent, the wrapper, and at last the job.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use error::{Error, Result};
use sys::{Errno, exec, prctl, process, signal};
use wire::Operation;

use super::sandbox::Sandbox;
use super::switcher::Switcher;

/// Why the switcher was not executed.
#[derive(Debug)]
pub enum Failure {
    /// The arguments make no sense.
    BadInput(Error),
    /// There is no such switcher.
    NotFound(Error),
    /// The switcher can't be executed.
    NotExecutable(Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::BadInput(cause) => write!(f, "{cause}"),
            Failure::NotFound(cause) => write!(f, "{cause}"),
            Failure::NotExecutable(cause) => write!(f, "{cause}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(cause: Error) -> Self {
        Failure::BadInput(cause)
    }
}

/// Executes the switcher in the place of this process. Descriptors 0, 1 and 2 are the job's
/// business: nothing is read from them or written to them. Returns only the reason why it could
/// not.
pub fn run(
    sandbox: &Sandbox,
    switcher: &Switcher,
    wrapper: &OsStr,
    arguments: &[OsString],
) -> Failure {
    let mark = match family(sandbox, wrapper) {
        Ok(mark) => mark,
        Err(error) => return Failure::BadInput(error),
    };
    let (path, wrapper, arguments) = (sandbox.path(), wrapper.into(), arguments.to_vec());
    let command = switcher.command(&Operation::Enter { sandbox: path, mark, wrapper, arguments });
    signal::default_sigpipe();
    // The job does not outlive its starter. The kernel forgets this when a set-user-ID program such
    // as sudo is executed (prctl(2), PR_SET_PDEATHSIG); the project's own switcher ends all
    // that it has started.
    let bound = prctl::set_pdeathsig(signal::SIGKILL);
    let cause = match bound.and_then(|()| process::chdir(Path::new("/"))) {
        Ok(()) => exec::exec(&command),
        Err(cause) => cause,
    };
    signal::ignore_sigpipe();
    let path = switcher.program().as_os_str().as_bytes().to_vec();
    Failure::from_switcher(Error::System { step: "execute the switcher", path, cause })
}

impl Failure {
    /// What a switcher that could not be found or executed means for the exit status.
    pub fn from_switcher(error: Error) -> Self {
        match error {
            Error::System { cause: Errno::ENOENT | Errno::ENOTDIR, .. } => Failure::NotFound(error),
            Error::System { .. } => Failure::NotExecutable(error),
            error => Failure::BadInput(error),
        }
    }
}

fn family(sandbox: &Sandbox, wrapper: &OsStr) -> Result<OsString> {
    if !Path::new(wrapper).is_absolute() {
        let why = "the wrapper is given as an absolute path: it is executed in the job's sandbox";
        return Err(Error::refused(wrapper, why));
    }
    sandbox.family()
}
