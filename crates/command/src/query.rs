//! Asks a program of the system, with a time limit.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use error::Shown;
use sys::{Errno, fd, signal};

/// A program that gives no answer within this time is waiting for a directory service that is down.
const TIMEOUT: Duration = Duration::from_secs(10);

/// No answer is longer.
const LONGEST: usize = 1 << 20;

/// What a program prints, which may be nothing. It runs with an empty environment. The error names
/// the program and says why there is no answer.
pub fn ask(program: &Path, arguments: &[&OsStr]) -> Result<Vec<u8>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", Shown::os(program));
    // The caller may ignore SIGCHLD, and this process inherits that.
    signal::default_sigchld();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let answer =
        child.stdout.take().map_or(Ok(Vec::new()), |pipe| read(pipe, Instant::now() + TIMEOUT));
    // The answer is complete, or no longer wanted; this process must not keep a child.
    let _ = child.kill();
    match answer {
        Ok(answer) => {
            let _ = child.wait();
            Ok(answer)
        }
        // Not waited for: it may be blocked in the kernel.
        Err(Errno::ETIMEDOUT) => {
            Err(failed(&format!("no answer within {} seconds", TIMEOUT.as_secs())))
        }
        Err(cause) => Err(failed(&cause)),
    }
}

/// All that a pipe delivers until its end: ETIMEDOUT if the end does not come in time, EFBIG if
/// there is more than [`LONGEST`].
fn read(mut pipe: ChildStdout, until: Instant) -> sys::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    while all.len() <= LONGEST {
        match fd::poll_readable([pipe.as_fd()], Some(until)) {
            Ok([true]) => match pipe.read(&mut part).map_err(|error| sys::errno(&error)) {
                Ok(0) => return Ok(all),
                Ok(length) => all.extend_from_slice(&part[..length]),
                Err(Errno::EINTR) => {}
                Err(cause) => return Err(cause),
            },
            Ok([false]) if Instant::now() >= until => return Err(Errno::ETIMEDOUT),
            Ok([false]) | Err(Errno::EINTR) => {}
            Err(cause) => return Err(cause),
        }
    }
    Err(Errno::EFBIG)
}
