//! A call of the switcher that ends with this process, as the call for a pilot's payload does.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use error::{Context as _, Result};
use sys::spawn::Inherited;
use sys::{Pid, pidfd, signal, spawn, wait};
use wire::{EXACT_STATUS, Operation};

use super::outcome::CallOutcome;
use super::output::Output;
use super::processes;
use super::program::Switcher;

/// A call that was started. The kernel kills the switcher when the thread that started it ends.
#[derive(Debug)]
pub struct BoundCall {
    program: PathBuf,
    output: Output,
    child: Child,
    /// A pidfd of the switcher's process: readable once that has ended.
    pub pidfd: OwnedFd,
}

impl BoundCall {
    /// Starts a call for an operation of the agent in a new session, with `input` as descriptor 0.
    /// The caller waits for its end.
    pub fn start(
        switcher: &Switcher,
        operation: &Operation,
        input: OwnedFd,
        inherited: Inherited,
    ) -> Result<BoundCall> {
        BoundCall::start_command(switcher, switcher.command(operation), input, inherited, None)
    }

    /// As [`BoundCall::start`], for a command of [`Switcher::command_handing_over`] whose reports
    /// go to this descriptor.
    pub fn start_handing_over(
        switcher: &Switcher,
        command: Command,
        input: OwnedFd,
        inherited: Inherited,
        report: &File,
    ) -> Result<BoundCall> {
        BoundCall::start_command(switcher, command, input, inherited, Some(report.as_fd()))
    }

    fn start_command(
        switcher: &Switcher,
        mut command: Command,
        input: OwnedFd,
        inherited: Inherited,
        passed: Option<BorrowedFd<'_>>,
    ) -> Result<BoundCall> {
        let program = switcher.program().to_owned();
        let (output, [stdout, stderr]) = Output::pipe(&program)?;
        // The payload must not learn the path of the caller's proxy, even if the switcher passes
        // the environment on.
        command.env_remove("X509_USER_PROXY");
        // The project's `glexec` then ends exactly as the payload does; the socket tells whether
        // the payload was started.
        command.env(EXACT_STATUS, "1");
        command.stdin(input).stdout(stdout).stderr(stderr);
        let child = spawn::spawn_with_pdeathsig(&mut command, inherited, passed)
            .at("execute the switcher", &program)?;
        let pidfd = pidfd::open(spawn::pid_of(&child)).at("open a pidfd for", &program)?;
        Ok(BoundCall { program, output, child, pidfd })
    }

    /// The process id of the switcher.
    pub fn pid(&self) -> Pid {
        spawn::pid_of(&self.child)
    }

    /// Whether the switcher's process ends exactly as the payload does: it has become the payload,
    /// it is a sudo above the payload, or it is the project's `glexec`. Another program of the
    /// caller may end with status 128 + N where the payload was killed by signal N.
    pub fn ends_as_payload(&self) -> bool {
        !processes::is_own(self.pid())
            || processes::is_project_glexec(&processes::executable(self.pid()))
    }

    /// Asks the switcher's process to end, if this user may: a payload that has begun gets the
    /// signal.
    pub fn terminate(&self) {
        let _ = pidfd::send_signal(&self.pidfd, signal::SIGTERM);
    }

    /// Sends a signal to the switcher's process. EPERM if this user may not.
    pub fn send_signal(&self, number: i32) -> sys::Result<()> {
        pidfd::send_signal(&self.pidfd, number)
    }

    /// Kills the switcher's process, if this user may. The processes behind it end with it, or
    /// must be killed separately.
    pub fn kill(&self) {
        let _ = pidfd::send_signal(&self.pidfd, signal::SIGKILL);
    }

    /// Continues the switcher's process, if this user may.
    pub fn resume(&self) {
        let _ = pidfd::send_signal(&self.pidfd, signal::SIGCONT);
    }

    /// Waits for its end at most for this time, and kills it then. A process of root, or one that
    /// has become the payload, may live on.
    pub fn end_within(mut self, limit: Duration) -> CallOutcome {
        let mut has_ended = self.has_ended_within(limit);
        if !has_ended {
            self.kill();
            has_ended = self.has_ended_within(limit);
        }
        let waited = if has_ended { wait::wait_with_usage(self.pid()).ok() } else { None };
        let (end, usage) = waited.unzip();
        CallOutcome { program: self.program, end, usage, output: self.output.read() }
    }

    fn has_ended_within(&self, limit: Duration) -> bool {
        pidfd::wait_for_exit(&self.pidfd, limit).unwrap_or(false)
    }
}
