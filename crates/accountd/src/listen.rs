//! The listening socket.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use command::groups;
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::{Errno, inherited, process, socket};

/// How many connections can wait to be accepted.
const BACKLOG: i32 = 1024;

/// How long a socket is tried that another process has.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How often.
const PAUSE: Duration = Duration::from_millis(50);

/// The first descriptor that systemd passes (sd_listen_fds(3)).
const FIRST: i32 = 3;

/// What the environment says about a socket that systemd has passed.
pub(crate) struct Passed(bool);

impl Passed {
    /// Reads the environment.
    pub(crate) fn from_environment() -> Passed {
        let number =
            |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<i32>().ok());
        let is_own = number("LISTEN_PID") == Some(process::getpid().as_raw());
        Passed(is_own && number("LISTEN_FDS") == Some(1))
    }

    /// The socket.
    pub(crate) fn adopt(&self) -> Result<Listener> {
        if !self.0 {
            return Err(Refusal::client(
                "no socket was passed: start it through glexecd.socket, or with --listen <path>",
            ));
        }
        let adopted = inherited::adopt(FIRST);
        let adopted = adopted
            .map_err(|cause| Refusal::internal(format!("cannot use the passed socket: {cause}")))?;
        if !socket::is_listening(&adopted) {
            return Err(Refusal::internal(
                "the passed descriptor is not a listening stream socket: use Accept=no and \
                 ListenStream= with a path in glexecd.socket",
            ));
        }
        Listener::new(adopted.into(), None)
    }
}

/// A listening socket, which does not block.
pub(crate) struct Listener {
    pub(crate) socket: OwnedFd,
    /// The path, if this process has made it.
    path: Option<PathBuf>,
}

impl Listener {
    fn new(socket: OwnedFd, path: Option<PathBuf>) -> Result<Listener> {
        socket::set_nonblocking(&socket)
            .map_err(|cause| Refusal::internal(format!("cannot use the socket: {cause}")))?;
        Ok(Listener { socket, path })
    }

    /// Removes the socket, if this process has made it.
    pub(crate) fn remove(&self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

/// Makes a listening socket for the members of a group; without one for root alone.
pub(crate) fn at(path: &Path, group: Option<&OsStr>) -> Result<Listener> {
    let shown = Shown::os(path);
    let failed = |step: &str, why: &dyn std::fmt::Display| {
        Refusal::internal(format!("cannot {step} the socket {shown}: {why}"))
    };
    let group = match group {
        None => None,
        Some(name) => Some(groups::named(name.as_bytes())?.ok_or_else(|| {
            Refusal::client(format!("there is no group {} (--group)", Shown::os(name)))
        })?),
    };
    remove_stale(path)?;
    // Under another name first: a client that finds the socket can connect to it.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", process::getpid()));
    let temporary = Path::new(&temporary);
    let mask = process::umask(0o117);
    let made = socket::listen(temporary, BACKLOG);
    process::umask(mask);
    let made = made.map_err(|cause| failed("make", &cause))?;
    let owned = match group {
        Some(group) => chown(temporary, Some(0), Some(group.id.as_raw())),
        None => Ok(()),
    };
    owned.and_then(|()| fs::rename(temporary, path)).map_err(|error| {
        let _ = fs::remove_file(temporary);
        failed("make", &error)
    })?;
    Listener::new(made, Some(path.to_owned()))
}

/// Removes a socket on which no process listens.
fn remove_stale(path: &Path) -> Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    // A process that a killed daemon has just started may have the socket for a moment longer.
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match socket::connect(path, Duration::ZERO) {
            Err(Errno::ECONNREFUSED) => {
                let _ = fs::remove_file(path);
                return Ok(());
            }
            _ if Instant::now() < deadline => std::thread::sleep(PAUSE),
            _ => {
                return Err(Refusal::internal(format!(
                    "a process listens on {} already: stop it first",
                    Shown::os(path)
                )));
            }
        }
    }
}
