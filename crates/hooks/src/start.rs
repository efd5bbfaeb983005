//! The script's process, from its start until it executes the script.

use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use error::access::why_not_executed;
use error::{Context as _, Error, Result};
use sys::signal::{self, SIGKILL};
use sys::{Errno, Pid, exec, prctl, process, stdio};

use crate::script::Script;
use crate::trust;

/// What this process tells the keeper.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Why the script is not executed; none if it is.
    pub(crate) why: Option<String>,
    /// Whether it gets the short environment.
    pub(crate) is_short: bool,
}

/// Says that the short environment follows.
const SHORT: u8 = 0;

impl Told {
    /// Reads what [`run`] writes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Told {
        let rest = bytes.strip_prefix(&[SHORT]);
        let text = rest.unwrap_or(bytes);
        let why = (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned());
        Told { why, is_short: rest.is_some() }
    }
}

/// Becomes the script, below the process `above`, with `output` as its standard output, if it is
/// read. Writes to the pipe why that failed.
pub(crate) fn run(script: &Script<'_>, above: Pid, mut told: File, output: Option<OwnedFd>) -> ! {
    let why = match prepare(script, above, output) {
        Ok(file) => execute(script, &file, &mut told),
        Err(why) => why,
    };
    let _ = told.write_all(why.to_string().as_bytes());
    process::_exit(127)
}

fn prepare(script: &Script<'_>, above: Pid, output: Option<OwnedFd>) -> Result<File> {
    if let Some(output) = output {
        stdio::set_stdout(&output).at("set the standard output of", script.path)?;
    }
    process::setsid().at("make a session for", script.path)?;
    script.become_user()?;
    // After the change of user, which undoes it. If the keeper is killed, the script must not stay
    // without a time limit.
    prctl::set_pdeathsig(SIGKILL)
        .at("ask for a signal at the end of the keeper of", script.path)?;
    if process::getppid() != above {
        process::_exit(0);
    }
    process::umask(0o022);
    let file = trust::open(script.path, &script.owners)?;
    signal::reset_all().at("reset the signals of", script.path)?;
    Ok(file)
}

/// Executes the script; returns why it could not.
fn execute(script: &Script<'_>, file: &File, told: &mut File) -> Error {
    let Ok(path) = CString::new(script.path.as_os_str().as_bytes()) else {
        return Error::refused(script.path, "its path holds a NUL");
    };
    let mut arguments = vec![path];
    arguments.extend_from_slice(script.arguments);
    let mut cause = exec::execveat(file, &arguments, script.environment);
    if cause == Errno::E2BIG {
        let _ = told.write_all(&[SHORT]);
        cause = exec::execveat(file, &arguments, script.short_environment);
    }
    let why = match cause {
        Errno::ETXTBSY => Some("a process has it open for writing: close it there".to_owned()),
        _ => why_not_executed("its user", script.path, cause),
    };
    match why {
        Some(why) => Error::refused(script.path, format!("cannot execute it: {why}")),
        None => Error::System { step: "execute", path: arguments[0].to_bytes().to_vec(), cause },
    }
}
