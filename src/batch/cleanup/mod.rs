//! After a job: brings its files back to the batch user, with the retained proxy in place of the
//! job's.
//!
//! O is the directory with the name `<sandbox>.condor`, which was the sandbox before setup:
//!
//! 1. read the state of the sandbox; make O's proxy a new file with mode 0600, if it is not one;
//! 2. remove everything else from O;
//! 3. build a copy of the sandbox in O, as the agent sends it;
//! 4. give O the mode of the job's directory: now it is not marked, and the complete data;
//! 5. the agent renames `<sandbox>` to a temporary name, J;
//! 6. rename `.condor` to `<sandbox>`: the results are in the starter's working directory;
//! 7. the agent deletes J.
//!
//! A failure up to step 4 changes nothing. After it, another cleanup continues at step 5.
//!
//! Where the switcher can change the owner of a directory, it does that instead of steps 2 to 7:
//! see [`ownership`].
//!
//! - `policy`: what cleanup may do;
//! - `bring_back`: steps 2 to 4; `elsewhere`: the same to another directory; `through_agent`: the
//!   agent that does it;
//! - `leftovers`: what is left in or beside the sandbox.

mod bring_back;
mod elsewhere;
mod leftovers;
mod policy;
mod through_agent;

use bring_back::{BroughtBack, bring_back, check_owner};
pub use elsewhere::copy_elsewhere;
use error::{Context as _, Error, Result, Shown};
use leftovers::{report_unremovable, sweep_beside, sweep_others};
pub use policy::{KillScope, Policy};
use sys::OwnedName;
use sys::signal::{SIGKILL, SIGTERM};
use through_agent::through_agent;

use super::agent::{Agent, AgentCall};
use super::error::HelperError;
use super::kill::{self, Scope};
use super::ownership;
use super::report::Report;
use super::retry::{Retries, retrying};
use super::sandbox::{Found, Retained, Sandbox};
use super::switcher::Switcher;
use super::ticket::Ticket;

/// What a cleanup has brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Returned {
    /// The files.
    Files,
    /// Only the proxy: the job removed its directory.
    ProxyOnly,
}

impl Returned {
    /// An error, unless the files are back.
    pub fn require_files(self, sandbox: &Sandbox) -> Result<()> {
        match self {
            Returned::Files => Ok(()),
            Returned::ProxyOnly => {
                let why = "the job removed its directory; only the proxy could be put back";
                Err(Error::refused(sandbox.path(), why))
            }
        }
    }
}

/// Brings the sandbox back. Doing it twice is harmless, and so is doing it after a setup that was
/// killed. `kept` is the agent of a setup, if it still serves the sandbox: it is used as long as it
/// does its work.
pub fn cleanup(
    mut kept: Option<Agent>,
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    policy: Policy,
    report: &mut Report<'_>,
) -> Result<Returned, HelperError> {
    let state = |retained: Result<Retained>| Ok((retained?, sandbox.found()?));
    let ticket = match state(sandbox.retained()).map_err(HelperError::bad_input)? {
        // There is nothing to do, and this may be no place for sandboxes.
        (Retained::Absent, Found::Nothing | Found::Theirs(_) | Found::Other(_)) => None,
        _ => Ticket::wait_for(sandbox, switcher.idle_timeout())?,
    };
    let (retained, found) = state(sandbox.settle()).map_err(HelperError::bad_input)?;
    if retained != Retained::Absent {
        sandbox.secure_proxy(&sandbox.open_retained()?)?;
    }
    report.log_id = sandbox.log_id();
    let may_have_processes =
        matches!(found, Found::Theirs(_) | Found::Other(_) | Found::Placeholder);
    if retained != Retained::Absent && may_have_processes {
        kill_processes(policy.kills, sandbox, switcher, retries, report);
    }
    // Each state that a killed change of owner has left becomes one of the others.
    ownership::finish(sandbox, switcher, retries, policy, report)?;
    let (retained, found) = state(sandbox.settle())?;
    let call = |kept: &mut Option<Agent>, report: &mut Report<'_>| {
        through_agent(kept.take(), sandbox, switcher, retries, report, |_, _| Ok(()))
            .map(|(agent, ())| agent)
    };
    // The files come back even if no agent can be called for what is beside them.
    let call_to_sweep = |kept: &mut Option<Agent>, report: &mut Report<'_>| {
        if sandbox.others_left_something() {
            let was_kept = kept.is_some();
            if let Ok(mut agent) = call(kept, report) {
                sweep_others(sandbox, &mut agent, report);
                if was_kept {
                    *kept = Some(agent);
                } else {
                    agent.close();
                }
            }
        }
    };
    let bad_input = |why: String| HelperError::bad_input(Error::refused(sandbox.path(), why));
    let mut returned = Returned::Files;
    match (retained, found) {
        (Retained::Absent, Found::Mine | Found::Placeholder) => {
            sweep_beside(sandbox, switcher, report);
        }
        (Retained::Absent, Found::Nothing) => {
            return Err(bad_input("there is no such directory".to_owned()));
        }
        (Retained::Absent, Found::Theirs(uid) | Found::Other(uid)) => {
            let why =
                format!("it belongs to uid {uid}, and you have no directory at {}", shown(sandbox));
            return Err(bad_input(why));
        }
        (Retained::Data, Found::Mine) => {
            let why = format!(
                "both this directory and {} are yours and contain data: move one of them away",
                shown(sandbox)
            );
            return Err(bad_input(why));
        }
        // A setup was killed before the sandbox changed hands, or a cleanup before its last step.
        (Retained::Proxy, Found::Mine) => {
            ownership::refuse_unfinished(sandbox, &sandbox.open_retained()?)?;
            call_to_sweep(&mut kept, report);
            sandbox.remove_retained()?;
        }
        (Retained::Data, Found::Nothing) => {
            call_to_sweep(&mut kept, report);
            sandbox.retained_to_sandbox()?;
        }
        (Retained::Data, Found::Theirs(_) | Found::Other(_)) => {
            let agent = call(&mut kept, report)?;
            complete(sandbox, agent, report)?;
        }
        (Retained::Proxy, Found::Theirs(_)) => {
            call_to_sweep(&mut kept, report);
            let taken = if switcher.changes_owners() {
                ownership::take(sandbox, switcher, retries, policy, report)?.done_or_copy(report)
            } else {
                None
            };
            let left = match taken {
                Some(left) => left,
                None => copy_back(kept.take(), sandbox, switcher, retries, policy, report)?,
            };
            report_unremovable(sandbox, report, &left);
        }
        (Retained::Proxy, Found::Nothing | Found::Other(_)) => {
            let agent = if found == Found::Nothing { None } else { Some(call(&mut kept, report)?) };
            let retained = sandbox.open_retained()?;
            sandbox.read_proxy(&retained, &sandbox.retained_path())?;
            ownership::refuse_unfinished(sandbox, &retained)?;
            let left = sandbox.empty_retained(&retained)?;
            retained.set_mode(0o700).at("set the mode of", sandbox.retained_path())?;
            match agent {
                Some(agent) => complete(sandbox, agent, report)?,
                None => sandbox.retained_to_sandbox()?,
            }
            report_unremovable(sandbox, report, &left);
            returned = Returned::ProxyOnly;
        }
        (Retained::Aside, _) | (Retained::Proxy | Retained::Data, Found::Placeholder) => {
            let why = "another helper works on this sandbox";
            return Err(Error::refused(sandbox.retained_path(), why).into());
        }
    }
    if let Some(agent) = kept {
        agent.close();
    }
    sandbox.sweep(ticket.as_ref().and_then(Ticket::name));
    Ok(returned)
}

/// Brings the files back by a copy. Returns the entries that could not be removed.
fn copy_back(
    kept: Option<Agent>,
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    policy: Policy,
    report: &mut Report<'_>,
) -> Result<Vec<OwnedName>, HelperError> {
    let BroughtBack { agent, built, left } =
        bring_back(kept, sandbox, switcher, retries, policy, report)?;
    (report.moved, report.left) = (Some((built.totals, built.dropped)), built.left);
    complete(sandbox, agent, report)?;
    Ok(left)
}

/// Kills the processes that could still change the files. A process that cannot be killed is
/// reported; the files come back nevertheless.
///
/// All processes of an account are killed only if it owns the sandbox: the switcher may lead to
/// another account now.
fn kill_processes(
    kills: KillScope,
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    report: &mut Report<'_>,
) {
    let scope = match kills {
        KillScope::Nothing => return,
        KillScope::Family => Scope::Sandbox,
        KillScope::Account => Scope::Account,
    };
    let request = kill::KillRequest {
        scope,
        signal: SIGKILL,
        grace: 0,
        soft_kill_signal: SIGTERM,
        clean: false,
    };
    let checked = match kills {
        KillScope::Account => retrying(retries, report, |_| {
            let agent = AgentCall::serve(switcher, &sandbox.path())?.wait_for_hello()?;
            let checked = check_owner(sandbox, agent.uid);
            agent.close();
            checked
        }),
        KillScope::Nothing | KillScope::Family => Ok(()),
    };
    let killed = checked
        .and_then(|()| kill::kill(switcher, &sandbox.credential(), request, retries, report));
    if let Err(error) = killed {
        report.notice(&format!("cannot end the processes that the job left: {error}"));
    }
}

/// Steps 5 to 7: the data is in the retained directory. After a failure another cleanup completes
/// them.
fn complete(sandbox: &Sandbox, mut agent: Agent, report: &mut Report<'_>) -> Result<()> {
    sweep_others(sandbox, &mut agent, report);
    agent.retire().map_err(|error| {
        let why =
            format!("the data is complete at {}; run condor_glexec_cleanup again", shown(sandbox));
        error.and_then(Err(Error::refused(sandbox.path(), why)))
    })?;
    sandbox.retained_to_sandbox()?;
    let deleted = agent.delete();
    agent.close();
    // The files are back. What the job user still has beside them is no failure.
    if let Err(error) = deleted {
        report.notice(&format!(
            "{}: the files are back, but what the job had there is not removed: {error}; root can \
             remove it, and the next cleanup of this sandbox tries again",
            Shown::os(&sandbox.path())
        ));
    }
    Ok(())
}

fn shown(sandbox: &Sandbox) -> String {
    Shown::os(&sandbox.retained_path()).to_string()
}
