//! The agent that watches while a payload runs: it kills the payload's family when this process
//! ends, or when it is asked to.

use std::ffi::OsString;

use error::Result;
use sys::{Pid, process};
use wire::Operation;

use crate::batch::agent::{Agent, AgentCall};
use crate::batch::report::Hunted;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;

/// An agent that watches a family.
#[derive(Debug)]
pub struct Watch {
    agent: Agent,
    /// Whether it also serves the sandbox.
    serves: bool,
}

impl Watch {
    /// Has the family with this mark, whose first process is `root`, watched: by the agent that was
    /// kept, or else by one that is called for that.
    pub fn begin(
        sandbox: &Sandbox,
        switcher: &Switcher,
        root: Pid,
        mark: OsString,
        kept: &mut Option<Agent>,
    ) -> Result<Watch> {
        let switcher = switcher.with_short_idle_timeout();
        if let Some(mut agent) = kept.take() {
            match agent.set_limits(&switcher).and_then(|()| agent.watch(root, &mark)) {
                Ok(()) => return Ok(Watch { agent, serves: true }),
                // It may have begun to watch: then it would end the payload, however late.
                Err(error) if agent.is_connected() => return Err(agent.fail(error)),
                Err(_) => agent.close(),
            }
        }
        let operation = Operation::Watch { caller: process::geteuid(), root, mark };
        let call = AgentCall::start(&switcher, &operation, sandbox.path().as_os_str())?;
        Ok(Watch { agent: call.wait_for_hello()?, serves: false })
    }

    /// Has the family killed. An agent that serves the sandbox becomes `kept` again.
    pub fn end_family(mut self, kept: &mut Option<Agent>) -> Result<Hunted> {
        if self.serves {
            let hunted = self.agent.end_family()?;
            *kept = Some(self.agent);
            return Ok(hunted);
        }
        let hunted = self.agent.end_watch()?;
        self.agent.close();
        Ok(hunted)
    }
}
