//! Standard input, output and error: descriptors 0, 1 and 2. No value owns them: the standard
//! library opens those that are closed when a program starts, and closes none.

use std::os::fd::{AsFd as _, AsRawFd as _, IntoRawFd as _, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::Result;

/// Duplicates standard input, and redirects descriptor 0 to the null device: the duplicate alone
/// refers to what it was. So a second call has the null device, and not a second owner.
pub fn take_stdin() -> Result<OwnedFd> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    let stdin = stdin.map_err(|error| super::errno(&error))?;
    dup2_stdin(null()?)?;
    Ok(stdin)
}

/// Opens the null device as each of the descriptors 0, 1 and 2 that is closed: so no file that this
/// process opens later is taken for one of them.
pub fn open_missing() -> Result<()> {
    loop {
        let null = null()?;
        // The lowest free number.
        if null.as_raw_fd() > 2 {
            return Ok(());
        }
        // It stays open, without an owner, as descriptors 0, 1 and 2 do.
        let _ = nix::fcntl::fcntl(&null, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let _ = null.into_raw_fd();
    }
}

/// Makes three files standard input, output and error, for a program to be executed.
pub fn set_stdio([stdin, stdout, stderr]: &[OwnedFd; 3]) -> Result<()> {
    dup2_stdin(stdin)?;
    dup2_stdout(stdout)?;
    dup2_stderr(stderr)
}

/// Makes a file standard output, for a program to be executed.
pub fn set_stdout(stdout: &OwnedFd) -> Result<()> {
    dup2_stdout(stdout)
}

/// Redirects standard input, output and error from and to the null device.
pub fn redirect_to_null() -> Result<()> {
    let null = null()?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)
}

/// Redirects standard input and output from and to the null device.
pub fn redirect_input_and_output_to_null() -> Result<()> {
    let null = null()?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)
}

/// Opens the null device (null(4)).
pub fn null() -> Result<OwnedFd> {
    nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
}
