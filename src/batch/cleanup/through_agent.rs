//! Work through the agent that a pilot has kept, or through agents that are called for it.

use error::Result;

use crate::batch::agent::{Agent, AgentCall};
use crate::batch::error::HelperError;
use crate::batch::report::Report;
use crate::batch::retry::{Retries, retrying};
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;

/// Does work through the agent that was kept. Without one, and if that one fails, which a job of
/// the same user can bring about, an agent is called for it, with retries. Returns the agent, too.
pub(super) fn through_agent<T>(
    kept: Option<Agent>,
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    report: &mut Report<'_>,
    mut work: impl FnMut(&mut Agent, &mut Report<'_>) -> Result<T>,
) -> Result<(Agent, T), HelperError> {
    if let Some(mut agent) = kept.filter(Agent::is_connected) {
        match agent.set_limits(switcher).and_then(|()| work(&mut agent, report)) {
            Ok(done) => return Ok((agent, done)),
            Err(error) if Agent::is_at_fault(&error) => agent.close(),
            Err(error) => return Err(agent.fail(error).into()),
        }
    }
    retrying(retries, report, |report| {
        let mut agent = AgentCall::serve(switcher, &sandbox.path())?.wait_for_hello()?;
        match work(&mut agent, report) {
            Ok(done) => Ok((agent, done)),
            Err(error) => Err(agent.fail(error)),
        }
    })
}
