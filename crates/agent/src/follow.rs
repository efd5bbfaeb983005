//! Following a process: a family is stopped while another process is stopped.
//!
//! A batch system suspends a job by SIGSTOP to all processes of its own user. Those of the job's
//! user are not among them, and no process can catch that signal and forward it. So this process,
//! which is the job user's, looks at the state of one that the batch system stops.
//!
//! The job can kill or stop this process, and is not suspended then: it has the same user.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use error::{Context as _, Result};
use sys::proc::{self, Entry};
use sys::signal::{SIGCONT, SIGSTOP};
use sys::{Errno, Pid, fd, stdio};

use super::family::Selector;
use super::hunter::{self, HuntRequest};

/// How often the state is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// Stops the family with this mark, whose first process is `root`, while `leader` is stopped.
/// Returns when `leader` has ended, or when the helper has closed its end of descriptor 0.
pub(crate) fn follow(leader: Pid, root: Pid, mark: &OsStr) -> Result<()> {
    let socket = stdio::take_stdin().at("use", "descriptor 0")?;
    let Some(started) = state(leader).map(|entry| entry.started) else { return Ok(()) };
    let mut is_stopped = false;
    while !is_closed(&socket)? {
        // Its pid can be another process's now.
        let Some(found) = state(leader).filter(|found| found.started == started) else { break };
        if found.is_stopped() != is_stopped {
            let signal = if is_stopped { SIGCONT } else { SIGSTOP };
            send(signal, root, mark)?;
            is_stopped = !is_stopped;
        }
    }
    if is_stopped {
        send(SIGCONT, root, mark)?;
    }
    Ok(())
}

fn send(signal: i32, root: Pid, mark: &OsStr) -> Result<()> {
    let request = HuntRequest {
        selector: Selector::Family { root: Some(root), mark },
        signal,
        grace: Duration::ZERO,
        soft_kill_signal: SIGCONT,
    };
    hunter::hunt(&request, Default::default(), &mut || true).map(drop)
}

/// Waits for one interval. Whether the helper is gone.
fn is_closed(socket: &OwnedFd) -> Result<bool> {
    match fd::poll_readable([socket.as_fd()], Some(Instant::now() + INTERVAL)) {
        // The helper sends nothing.
        Ok([is_closed]) => Ok(is_closed),
        Err(Errno::EINTR) => Ok(false),
        Err(cause) => Err(cause).at("wait for", "the helper"),
    }
}

fn state(pid: Pid) -> Option<Entry> {
    proc::entry(pid).ok().flatten()
}
