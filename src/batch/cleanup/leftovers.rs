//! What is left in or beside a sandbox that is back: it is removed, or reported with what root can
//! do about it. That something is left is no failure.

use error::Shown;
use sys::{OwnedName, Uid};

use crate::batch::agent::{Agent, AgentCall};
use crate::batch::report::Report;
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;

/// Has the agent remove what its user left beside the sandbox, and reports what stays. What other
/// users have there stays.
pub(super) fn sweep_others(sandbox: &Sandbox, agent: &mut Agent, report: &mut Report<'_>) {
    if sandbox.others_left_something() {
        let _ = agent.sweep();
        report_leftovers(sandbox, agent.uid, report);
    }
}

/// The same for a sandbox that is back. It has no retained proxy for the call of an agent; one is
/// made for that. A failure changes nothing about the sandbox.
pub(super) fn sweep_beside(sandbox: &Sandbox, switcher: &Switcher, report: &mut Report<'_>) {
    let owners = sandbox.owners_of_leftovers();
    if owners.is_empty() || make_retained_directory(sandbox).is_err() {
        return;
    }
    for owner in owners {
        let switcher = switcher.clone().with_lease_for(owner);
        let called = AgentCall::serve(&switcher, &sandbox.path());
        if let Ok(mut agent) = called.and_then(AgentCall::wait_for_hello) {
            if agent.uid == owner {
                sweep_others(sandbox, &mut agent, report);
            }
            agent.close();
        }
    }
    let _ = sandbox.remove_retained();
}

fn make_retained_directory(sandbox: &Sandbox) -> error::Result<()> {
    let proxy = sandbox.read_proxy(&sandbox.open()?, &sandbox.path())?;
    let name = sandbox.make_retained(&proxy)?;
    sandbox.retain(&name).inspect_err(|_| sandbox.remove_leftover(&name))
}

/// Reports the entries that could not be removed from the directory that is the sandbox again.
pub(super) fn report_unremovable(
    sandbox: &Sandbox,
    report: &mut Report<'_>,
    entries: &[OwnedName],
) {
    for name in entries {
        let path = sandbox.path().join(name.name().os());
        let path = Shown::os(&path);
        report.notice(&format!(
            "{path}: this was in the sandbox before the job, and you cannot remove it; it stays \
             there; root can: rm -rf {path}"
        ));
    }
}

/// Reports what this user has beside the sandbox.
fn report_leftovers(sandbox: &Sandbox, user: Uid, report: &mut Report<'_>) {
    let left = sandbox.place.leftovers_of(user);
    let Some(first) = left.first() else { return };
    let path = sandbox.place.path_of(first.name());
    let more = if left.len() > 1 { format!(" and {} more", left.len() - 1) } else { String::new() };
    report.notice(&format!(
        "{}{more}: uid {user} cannot remove this, which is left beside the sandbox; root can: \
         rm -rf {0}",
        Shown::os(&path)
    ));
}
