//! Steps 2 to 4 of a cleanup: the job's files come to the retained directory.

use error::{Context as _, Error, Result};
use sys::{Dir, OwnedName, Uid};
use tree::{Builder, Built, Progress};

use super::policy::Policy;
use super::through_agent::through_agent;
use crate::batch::agent::Agent;
use crate::batch::error::HelperError;
use crate::batch::report::Report;
use crate::batch::retry::Retries;
use crate::batch::sandbox::{Found, Sandbox};
use crate::batch::space;
use crate::batch::switcher::Switcher;

/// What steps 2 to 4 have made.
pub(super) struct BroughtBack {
    /// The agent that sent the files.
    pub(super) agent: Agent,
    pub(super) built: Built,
    /// The entries of the retained directory that could not be removed.
    pub(super) left: Vec<OwnedName>,
}

/// Steps 2 to 4, with retries. Until the sandbox is back, the proxy is also in a marked directory
/// with a temporary name: while it is not alone in the retained directory, the former tells
/// `recover` its name. `agent` is one that a pilot has kept.
pub(super) fn bring_back(
    agent: Option<Agent>,
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    policy: Policy,
    report: &mut Report<'_>,
) -> Result<BroughtBack, HelperError> {
    let retained = sandbox.open_retained()?;
    let proxy = sandbox.read_proxy(&retained, &sandbox.retained_path())?;
    let kept = sandbox.make_retained(&proxy)?;
    let work = |agent: &mut Agent, report: &mut Report<'_>| {
        check_owner(sandbox, agent.uid)?;
        let left = sandbox.empty_retained(&retained)?;
        space::check(sandbox, &sandbox.place, agent, Agent::measure)?;
        Ok((receive(sandbox, &retained, agent, policy, &mut report.progress)?, left))
    };
    let brought_back = through_agent(agent, sandbox, switcher, retries, report, work)
        .map(|(agent, (built, left))| BroughtBack { agent, built, left });
    // After a success it is removed when the sandbox is back.
    brought_back.inspect_err(|_| sandbox.remove_leftover(&kept))
}

/// Checks that the switcher leads to the user that owns the sandbox.
pub(super) fn check_owner(sandbox: &Sandbox, uid: Uid) -> Result<()> {
    match sandbox.found()? {
        Found::Theirs(owner) | Found::Other(owner) if owner != uid => {
            let why =
                format!("it belongs to uid {owner}, but the switcher runs commands as uid {uid}");
            Err(Error::refused(sandbox.path(), why))
        }
        // The agent keeps a call that changes owners from running, but one may have run before.
        Found::Placeholder => {
            let why = "another helper has begun to take its files back: run condor_glexec_cleanup \
                       again";
            Err(Error::refused(sandbox.path(), why))
        }
        _ => Ok(()),
    }
}

/// Steps 3 and 4, once. After a failure only the proxy is left in the retained directory.
fn receive(
    sandbox: &Sandbox,
    retained: &Dir,
    agent: &mut Agent,
    policy: Policy,
    progress: Progress<'_>,
) -> Result<Built> {
    let before = retained.stat_self().at("examine", sandbox.retained_path())?.modified();
    let top = retained.try_clone().at("open", sandbox.retained_path());
    let built = top.and_then(|top| {
        let builder = Builder::new(top, &sandbox.place, sandbox.retained_name(), policy.links)?;
        build(sandbox, agent, builder, policy, progress)
    });
    // The next cleanup reports what cannot be removed now.
    built.map_err(|error| {
        let emptied = sandbox.empty_retained(retained).map(drop);
        let _ = retained.set_modified(before);
        error.and_then(emptied)
    })
}

/// Builds what the agent sends, and commits it.
pub(super) fn build(
    sandbox: &Sandbox,
    agent: &mut Agent,
    builder: Builder<'_>,
    policy: Policy,
    progress: Progress<'_>,
) -> Result<Built> {
    let mut builder = builder.accessible_to_owner();
    let built = agent.download(policy.links, sandbox.proxy.name(), &mut builder, progress)?;
    let mut attributes = built.attributes;
    if policy.closes_top {
        attributes.mode &= 0o700;
    }
    builder.finish_closed(attributes).map(|()| built)
}
