//! Bringing a job's files to another directory than the sandbox's, such as one on another file
//! system.

use error::Result;
use sys::OwnedName;
use tree::{Builder, Place};

use super::bring_back::{build, check_owner};
use super::policy::Policy;
use super::through_agent::through_agent;
use crate::batch::agent::Agent;
use crate::batch::error::HelperError;
use crate::batch::report::Report;
use crate::batch::retry::Retries;
use crate::batch::sandbox::Sandbox;
use crate::batch::space;
use crate::batch::switcher::Switcher;
use crate::batch::ticket::Ticket;

/// A complete copy of a job's files in another directory. The sandbox is as it was.
pub struct CopyElsewhere<'a> {
    agent: Agent,
    /// Keeps other helpers from the sandbox.
    _ticket: Option<Ticket<'a>>,
    /// The copy's temporary name.
    pub name: OwnedName,
}

/// Copies the files of a sandbox that a job has to `to`, for the case that the sandbox's file
/// system has no room. The sandbox stays as it is until [`CopyElsewhere::remove_sandbox`]. `agent`
/// is one that a pilot has kept.
pub fn copy_elsewhere<'a>(
    agent: Option<Agent>,
    sandbox: &'a Sandbox,
    switcher: &Switcher,
    retries: Retries,
    policy: Policy,
    to: &Place,
    report: &mut Report<'_>,
) -> Result<CopyElsewhere<'a>, HelperError> {
    let ticket = Ticket::wait_for(sandbox, switcher.idle_timeout())?;
    sandbox.secure_proxy(&sandbox.open_retained()?)?;
    let device = sandbox.place.device()?;
    let work = |agent: &mut Agent, report: &mut Report<'_>| {
        check_owner(sandbox, agent.uid)?;
        space::check(sandbox, to, agent, Agent::measure)?;
        let (name, top) = to.create_dir()?;
        let built = Builder::new(top, to, name.name(), policy.links)
            .map(|builder| builder.from_device(device))
            .and_then(|builder| build(sandbox, agent, builder, policy, &mut report.progress));
        match built {
            Ok(built) => Ok((name, built)),
            Err(error) => Err(error.and_then(tree::remove(&to.parent, name.name(), &to.path))),
        }
    };
    let (agent, (name, built)) = through_agent(agent, sandbox, switcher, retries, report, work)?;
    (report.moved, report.left) = (Some((built.totals, built.dropped)), built.left);
    Ok(CopyElsewhere { agent, _ticket: ticket, name })
}

impl CopyElsewhere<'_> {
    /// Removes the sandbox, once the copy has its final name.
    pub fn remove_sandbox(mut self, sandbox: &Sandbox) -> Result<()> {
        let removed = self.agent.retire().and_then(|()| self.agent.delete());
        self.agent.close();
        removed.and_then(|()| sandbox.remove_retained()).map(|()| sandbox.sweep(None))
    }
}
