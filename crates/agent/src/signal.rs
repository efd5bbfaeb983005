//! The operation `signal`: sends a signal to one process.

use error::{Context as _, Error, Result};
use sys::signal::{self, SIGSTOP};
use sys::{Errno, Pid, pidfd};

use super::monitor;

/// Sends a signal to one process of this user.
///
/// A pidfd holds the process, so that another process that gets the same pid meanwhile is not
/// signalled. The kernel decides whether this user may signal it (kill(2)): the agent has no
/// privilege. Signal 0 asks the kernel first, because SIGCONT may also be sent to other users'
/// processes in the sender's session.
///
/// The pid of a switcher of root's that stays above a job stands for the job: it is the one that
/// the supervisor knows.
pub(crate) fn send(pid: Pid, number: i32) -> Result<()> {
    let pid = monitor::job_below(pid).unwrap_or(pid);
    let shown = format!("process {pid}");
    let sent = match pidfd::open(pid) {
        // An agent that stops makes the sudo above it stop, which only root can continue. The job
        // below it is signalled by itself.
        Ok(_) if number == SIGSTOP && monitor::is_agent_below_sudo(pid) => Ok(()),
        Ok(held) => pidfd::send_signal(&held, 0).and_then(|()| pidfd::send_signal(&held, number)),
        // Linux before 5.3 has no pidfds, and some filters of system calls forbid them.
        Err(Errno::ENOSYS | Errno::EPERM) => {
            signal::kill(pid, 0).and_then(|()| signal::kill(pid, number))
        }
        Err(cause) => Err(cause),
    };
    match sent {
        Err(Errno::ESRCH) => Err(Error::refused(&shown, "there is no such process")),
        Err(Errno::EPERM) => Err(Error::refused(&shown, "it is not the job user's")),
        sent => sent.at("send a signal to", &shown),
    }
}
