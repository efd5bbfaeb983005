//! A call of the switcher that a helper makes.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use error::{Context as _, Result};
use sys::spawn;
use sys::wait::End;
use wire::Operation;

use super::outcome::CallOutcome;
use super::output::Output;
use super::program::Switcher;

/// A call that was started.
#[derive(Debug)]
pub struct Call {
    program: PathBuf,
    idle_timeout: Duration,
    output: Output,
    /// None once it is waited for.
    child: Option<Child>,
}

impl Call {
    /// Starts a call for an operation of the agent. The switcher gets `input` as descriptor 0 and
    /// a pipe as descriptors 1 and 2, and none of the caller's descriptors.
    pub fn start(switcher: &Switcher, operation: &Operation, input: Stdio) -> Result<Call> {
        Call::start_command(switcher, switcher.command(operation), (input, None))
    }

    /// The same for any command of the switcher; its standard output can be another file.
    pub fn start_command(
        switcher: &Switcher,
        mut command: Command,
        (input, stdout): (Stdio, Option<OwnedFd>),
    ) -> Result<Call> {
        let program = switcher.program().to_owned();
        let (output, [messages, stderr]) = Output::pipe(&program)?;
        let stdout = stdout.unwrap_or(messages);
        if switcher.separates_groups {
            command.process_group(0);
        }
        let started = spawn::spawn_in_root(command.stdin(input).stdout(stdout).stderr(stderr));
        let child = started.at("execute the switcher", &program)?;
        drop(command); // closes this process's copies of the child's descriptors
        let (idle_timeout, child) = (switcher.idle_timeout(), Some(child));
        Ok(Call { program, idle_timeout, output, child })
    }

    /// Waits until the switcher has ended, at most for the idle timeout.
    pub fn wait(self) -> CallOutcome {
        // The channel's clock cannot count further.
        const NO_LIMIT: Duration = Duration::from_secs(u64::MAX / 4);
        let limit = if self.idle_timeout.is_zero() { NO_LIMIT } else { self.idle_timeout };
        self.wait_within(limit)
    }

    /// Waits until the switcher has ended, at most for this time.
    pub fn wait_within(mut self, limit: Duration) -> CallOutcome {
        let end = self.child.take().and_then(|child| end_within(child, limit));
        CallOutcome { program: self.program.clone(), end, usage: None, output: self.output.read() }
    }
}

/// A call that was given up leaves no zombie (wait(2)).
impl Drop for Call {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = std::thread::Builder::new().spawn(move || child.wait());
        }
    }
}

/// How a child ends, if it does within this time. Until it is waited for it needs no thread: a
/// process with one thread can do more, such as fork, while a call is under way.
fn end_within(mut child: Child, limit: Duration) -> Option<End> {
    let (sender, status) = mpsc::channel();
    let waiter = std::thread::Builder::new().spawn(move || {
        // The receiver is gone if the child was given up.
        let _ = sender.send(child.wait());
    });
    let ended = status.recv_timeout(limit).ok()?;
    let _ = waiter.ok()?.join();
    ended.ok().map(End::from)
}
