//! Running a job: becomes the switcher, which becomes the agent, the wrapper, and at last the job.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use super::sandbox::Sandbox;
use super::switcher::Switcher;
use crate::error::{Error, Result};
use crate::sys::{Errno, errno};

/// Why the switcher was not executed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments make no sense.
    #[error("{0}")]
    BadInput(#[from] Error),
    /// There is no such switcher.
    #[error("{0}")]
    NotFound(Error),
    /// The switcher can't be executed.
    #[error("{0}")]
    NotExecutable(Error),
}

/// Executes the switcher in the place of this process. Descriptors 0, 1 and 2 are the job's business: nothing is read
/// from them or written to them. Returns only the reason why it could not.
pub fn run(sandbox: &Sandbox, switcher: &Switcher, wrapper: &OsStr, arguments: &[OsString]) -> Failure {
    let family = match family(sandbox, wrapper) {
        Ok(family) => family,
        Err(error) => return Failure::BadInput(error),
    };
    let path = sandbox.path();
    let fixed = [OsStr::new("enter"), path.as_os_str(), &family, wrapper];
    let mut command = switcher.command(fixed.into_iter().chain(arguments.iter().map(OsString::as_os_str)));
    let cause = errno(&command.exec());
    let error = Error::System { step: "execute the switcher", path: path_bytes(switcher.program()), cause };
    match cause {
        Errno::ENOENT | Errno::ENOTDIR => Failure::NotFound(error),
        _ => Failure::NotExecutable(error),
    }
}

fn family(sandbox: &Sandbox, wrapper: &OsStr) -> Result<OsString> {
    if !Path::new(wrapper).is_absolute() {
        return Err(Error::refused(
            wrapper,
            "the wrapper is given as an absolute path: it is executed in the job's sandbox",
        ));
    }
    sandbox.family()
}

fn path_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().to_vec()
}
