//! The agent that stops a payload while this process is stopped, below a starter that suspends its
//! jobs by SIGSTOP.

use error::Result;
use sys::{Pid, process};
use wire::Operation;

use crate::batch::agent::AgentCall;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;

/// The agent. It ends when this is dropped: the connection ends then.
#[derive(Debug)]
pub(super) struct Follower(#[expect(dead_code, reason = "it is held open")] AgentCall);

impl Follower {
    /// Calls the agent for the family below `root`. Its start is not waited for.
    pub(super) fn call(sandbox: &Sandbox, switcher: &Switcher, root: Pid) -> Result<Follower> {
        let (caller, leader, mark) = (process::geteuid(), process::getpid(), sandbox.family()?);
        let operation = Operation::Follow { caller, leader, root, mark };
        AgentCall::start(switcher, &operation, sandbox.path().as_os_str()).map(Follower)
    }
}
