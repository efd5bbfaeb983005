//! After a job: brings its files back to the batch user, with the retained proxy in place of the
//! job's.
//!
//! O is the directory at `<sandbox>.condor`, which the sandbox was before setup:
//!
//! 1. tell the state of the sandbox; make O's proxy a 0600 file of this helper's own, if it is not;
//! 2. remove everything else from O;
//! 3. build a copy of the sandbox in O, as the agent sends it;
//! 4. give O the mode of the job's directory: unmarked, it is the data now, and complete;
//! 5. the agent moves `<sandbox>` out of the way, to J;
//! 6. `.condor` becomes `<sandbox>`: the starter stands in the results;
//! 7. the agent deletes J.
//!
//! Up to step 4 a failure changes nothing; after it, another cleanup goes on at step 5.

use error::{Context as _, Error, Result, Shown};
use sys::signal::{SIGKILL, SIGTERM};
use sys::{Dir, OwnedName, Uid};
use tree::beside::Place;
use tree::build::Built;
use tree::{self, Builder, Progress};
use wire::Links;

use super::agent::{Agent, AgentCall};
use super::kill::{self, Scope};
use super::report::Report;
use super::retry::{Attempt, Failure, Patience, retrying};
use super::sandbox::{Found, Retained, Sandbox};
use super::space;
use super::switcher::Switcher;
use super::ticket::Ticket;

/// What becomes of the sandbox's content and of who may still change it.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// What becomes of links that leave the sandbox.
    pub links: Links,
    /// The processes that are ended before the files come back.
    pub ends: Ends,
    /// Whether the directory that comes back is closed to others (0700), whatever the mode of the
    /// job's.
    pub closes_top: bool,
}

/// Whose processes a cleanup ends (SIGKILL) before the files come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// None: the caller has ended the job.
    Nothing,
    /// All that was started for the sandbox's job, as far as it carries the family mark.
    Family,
    /// All of the job user's: for an account that one job has at a time.
    Account,
}

/// Brings the sandbox back. `report` gets what the caller and the log want to know.
///
/// Running it twice is harmless, and so is running it after a setup that was killed.
pub fn cleanup(
    sandbox: &Sandbox,
    switcher: &Switcher,
    patience: Patience,
    policy: Policy,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let look = |retained: Result<Retained>| Ok((retained?, sandbox.found()?));
    let ticket = match look(sandbox.retained()).map_err(Failure::BadInput)? {
        // There is nothing to do, and it may be no place for sandboxes.
        (Retained::Absent, Found::Nothing | Found::Theirs(_) | Found::Other(_)) => None,
        _ => Ticket::wait_for(sandbox, switcher.limit())?,
    };
    let (retained, found) = look(sandbox.settle()).map_err(Failure::BadInput)?;
    if retained != Retained::Absent {
        sandbox.secure_proxy(&sandbox.open_retained()?)?;
    }
    report.request = sandbox.request();
    if retained != Retained::Absent && matches!(found, Found::Theirs(_) | Found::Other(_)) {
        end(policy.ends, sandbox, switcher, patience, report);
    }
    let call = |report: &mut Report<'_>| {
        retrying(patience, report, |_| {
            AgentCall::serve(switcher, &sandbox.path())?.wait_for_hello()
        })
    };
    // That nobody can be called to sweep is no reason not to bring the files back.
    let call_to_sweep = |report: &mut Report<'_>| {
        if sandbox.others_left_something() {
            if let Ok(mut agent) = call(report) {
                sweep_others(sandbox, &mut agent, report);
                agent.close();
            }
        }
    };
    match (retained, found) {
        (Retained::Absent, Found::Mine) => sweep_beside(sandbox, switcher, report),
        (Retained::Absent, Found::Nothing) => {
            return Err(Failure::BadInput(Error::refused(
                sandbox.path(),
                "there is no such directory",
            )));
        }
        (Retained::Absent, Found::Theirs(uid) | Found::Other(uid)) => {
            let why = format!("it is uid {uid}'s, and nothing of yours is at {}", shown(sandbox));
            return Err(Failure::BadInput(Error::refused(sandbox.path(), why)));
        }
        (Retained::Data, Found::Mine) => {
            let why = format!(
                "both this directory and {} are yours, and hold data: move one of them away",
                shown(sandbox)
            );
            return Err(Failure::BadInput(Error::refused(sandbox.path(), why)));
        }
        // A setup was killed before the sandbox changed hands, or a cleanup when it was all but
        // done.
        (Retained::Proxy, Found::Mine) => {
            call_to_sweep(report);
            sandbox.remove_retained()?;
        }
        (Retained::Data, Found::Nothing) => {
            call_to_sweep(report);
            sandbox.retained_to_sandbox()?;
        }
        (Retained::Data, Found::Theirs(_) | Found::Other(_)) => {
            let agent = call(report)?;
            complete(sandbox, agent, report)?;
        }
        (Retained::Proxy, Found::Theirs(_)) => {
            let BroughtBack { agent, built, left } =
                bring_back(sandbox, switcher, patience, policy, report)?;
            (report.moved, report.left) = (Some((built.totals, built.dropped)), built.left);
            complete(sandbox, agent, report)?;
            tell_left(sandbox, report, &left);
        }
        (Retained::Proxy, Found::Nothing | Found::Other(_)) => {
            let agent = if found == Found::Nothing { None } else { Some(call(report)?) };
            let retained = sandbox.open_retained()?;
            sandbox.read_proxy(&retained, &sandbox.retained_path())?;
            let left = sandbox.empty_retained(&retained)?;
            retained.set_mode(0o700).at("set the mode of", sandbox.retained_path())?;
            match agent {
                Some(agent) => complete(sandbox, agent, report)?,
                None => sandbox.retained_to_sandbox()?,
            }
            tell_left(sandbox, report, &left);
            sandbox.sweep_but(ticket.as_ref());
            let why = "the job removed its directory; only the proxy could be put back";
            return Err(Failure::Gone(Error::refused(sandbox.path(), why)));
        }
        (Retained::Aside, _) => {
            return Err(Error::refused(
                sandbox.retained_path(),
                "another helper works on this sandbox",
            )
            .into());
        }
    }
    sandbox.sweep_but(ticket.as_ref());
    Ok(())
}

/// Ends what could still change the files. Who can't be ended is named, and keeps nothing from
/// coming back.
///
/// An account is ended only if it is the sandbox's owner's: a map may lead to another one by now.
fn end(
    ends: Ends,
    sandbox: &Sandbox,
    switcher: &Switcher,
    patience: Patience,
    report: &mut Report<'_>,
) {
    let scope = match ends {
        Ends::Nothing => return,
        Ends::Family => Scope::Sandbox,
        Ends::Account => Scope::Account,
    };
    let order = kill::KillRequest {
        scope,
        signal: SIGKILL,
        grace: 0,
        soft_kill_signal: SIGTERM,
        clean: false,
    };
    let is_theirs = match ends {
        Ends::Account => retrying(patience, report, |_| {
            let agent = AgentCall::serve(switcher, &sandbox.path())?.wait_for_hello()?;
            let checked = check_owner(sandbox, agent.uid);
            agent.close();
            checked
        }),
        Ends::Nothing | Ends::Family => Ok(()),
    };
    let ended = is_theirs
        .and_then(|()| kill::kill(switcher, &sandbox.credential(), order, patience, report));
    if let Err(error) = ended {
        report.notice(&format!("cannot end what the job has left running: {error}"));
    }
}

/// What steps 2 to 4 have made.
struct BroughtBack {
    /// Who has sent the files.
    agent: Agent,
    built: Built,
    /// What could not be removed.
    left: Vec<OwnedName>,
}

/// Steps 2 to 4, retries included. The proxy is kept under a temporary name as well, until the
/// sandbox is back: as long as it is not alone in the retained directory, that tells `recover` its
/// name.
fn bring_back(
    sandbox: &Sandbox,
    switcher: &Switcher,
    patience: Patience,
    policy: Policy,
    report: &mut Report<'_>,
) -> Result<BroughtBack, Failure> {
    let retained = sandbox.open_retained()?;
    let proxy = sandbox.read_proxy(&retained, &sandbox.retained_path())?;
    let kept = sandbox.make_retained(&proxy)?;
    let brought_back = retrying(patience, report, |report| {
        let mut agent = AgentCall::serve(switcher, &sandbox.path())?.wait_for_hello()?;
        check_owner(sandbox, agent.uid)?;
        let received = sandbox.empty_retained(&retained).and_then(|left| {
            space::check(sandbox, &sandbox.place, &mut agent, Agent::measure)?;
            receive(sandbox, &retained, &mut agent, policy, &mut report.progress)
                .map(|built| (built, left))
        });
        match received {
            Ok((built, left)) => Ok(BroughtBack { agent, built, left }),
            Err(error) => Err(agent.fail(error)),
        }
    });
    // With the files it goes when they are back.
    brought_back.inspect_err(|_| sandbox.forget(&kept))
}

/// Names what could not be removed from the directory that is the sandbox again.
fn tell_left(sandbox: &Sandbox, report: &mut Report<'_>, left: &[OwnedName]) {
    for name in left {
        let path = sandbox.path().join(name.name().os());
        let path = Shown::os(&path);
        report.notice(&format!(
            "{path}: this was in the sandbox before the job and cannot be removed by you; it stays there; root can: rm -rf {path}"
        ));
    }
}

/// The switcher must lead to the user who has the sandbox.
fn check_owner(sandbox: &Sandbox, uid: Uid) -> Result<(), Attempt> {
    match sandbox.found()? {
        Found::Theirs(owner) | Found::Other(owner) if owner != uid => {
            let why =
                format!("it belongs to uid {owner}, but the switcher runs commands as uid {uid}");
            Err(Error::refused(sandbox.path(), why).into())
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
    // What can't be removed now is the next cleanup's to tell.
    built.map_err(|error| {
        let emptied = sandbox.empty_retained(retained).map(drop);
        let _ = retained.set_modified(before);
        error.and_then(emptied)
    })
}

/// Builds what the agent sends, and commits it.
fn build(
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

/// A complete copy of a job's files at another place than the sandbox's, which has the job still.
pub struct Elsewhere<'a> {
    agent: Agent,
    /// Keeps other helpers from the sandbox.
    _ticket: Option<Ticket<'a>>,
    /// Its temporary name.
    pub name: OwnedName,
}

/// Brings the files of a sandbox with a job to another place, another file system for example,
/// where the sandbox's has no room. The sandbox stays as it is until [`Elsewhere::finish`].
pub fn bring_elsewhere<'a>(
    sandbox: &'a Sandbox,
    switcher: &Switcher,
    patience: Patience,
    policy: Policy,
    to: &Place,
    report: &mut Report<'_>,
) -> Result<Elsewhere<'a>, Failure> {
    let ticket = Ticket::wait_for(sandbox, switcher.limit())?;
    sandbox.secure_proxy(&sandbox.open_retained()?)?;
    let device = sandbox.place.device()?;
    let (agent, name, built) = retrying(patience, report, |report| {
        let mut agent = AgentCall::serve(switcher, &sandbox.path())?.wait_for_hello()?;
        check_owner(sandbox, agent.uid)?;
        let received = space::check(sandbox, to, &mut agent, Agent::measure).and_then(|()| {
            let (name, top) = to.create_dir()?;
            let built = Builder::new(top, to, name.name(), policy.links)
                .map(|builder| builder.from_device(device))
                .and_then(|builder| {
                    build(sandbox, &mut agent, builder, policy, &mut report.progress)
                });
            match built {
                Ok(built) => Ok((name, built)),
                Err(error) => Err(error.and_then(tree::remove(&to.parent, name.name(), &to.path))),
            }
        });
        match received {
            Ok((name, built)) => Ok((agent, name, built)),
            Err(error) => Err(agent.fail(error)),
        }
    })?;
    (report.moved, report.left) = (Some((built.totals, built.dropped)), built.left);
    Ok(Elsewhere { agent, _ticket: ticket, name })
}

impl Elsewhere<'_> {
    /// Removes the sandbox, of which the copy has its name by now.
    pub fn finish(mut self, sandbox: &Sandbox) -> Result<()> {
        let removed = self.agent.retire().and_then(|()| self.agent.delete());
        self.agent.close();
        removed.and_then(|()| sandbox.remove_retained()).map(|()| sandbox.sweep_all())
    }
}

/// Steps 5 to 7: the data is at `.condor`. What goes wrong before it is back, another cleanup
/// completes.
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
    // The files are back. That something of the job user's is beside them is no failure.
    if let Err(error) = deleted {
        report.notice(&format!(
            "{}: the files are back, but what the job had there is not removed: {error}; root can remove it, and the next cleanup of this sandbox tries again",
            Shown::os(&sandbox.path())
        ));
    }
    Ok(())
}

/// Has the agent remove what the job user's side left beside the sandbox, and names what stays.
/// What is a bystander's stays.
fn sweep_others(sandbox: &Sandbox, agent: &mut Agent, report: &mut Report<'_>) {
    if sandbox.others_left_something() {
        let _ = agent.sweep();
        tell_stays(sandbox, agent.uid, report);
    }
}

/// The same for a sandbox that is back, which has no retained proxy to call an agent with: it gets
/// one for that. A failure changes nothing about the sandbox.
fn sweep_beside(sandbox: &Sandbox, switcher: &Switcher, report: &mut Report<'_>) {
    let owners = sandbox.owners_of_leftovers();
    if owners.is_empty() {
        return;
    }
    let retained = sandbox.open().and_then(|dir| sandbox.read_proxy(&dir, &sandbox.path()));
    let retained = retained.and_then(|proxy| sandbox.make_retained(&proxy));
    if !retained
        .is_ok_and(|name| sandbox.retain(&name).inspect_err(|_| sandbox.forget(&name)).is_ok())
    {
        return;
    }
    for owner in owners {
        let switcher = switcher.clone().for_user(owner);
        let called = AgentCall::serve(&switcher, &sandbox.path());
        if let Ok(mut agent) = called.map_err(Attempt::from).and_then(AgentCall::wait_for_hello) {
            if agent.uid == owner {
                sweep_others(sandbox, &mut agent, report);
            }
            agent.close();
        }
    }
    let _ = sandbox.remove_retained();
}

/// Names what this user has beside the sandbox, and who can remove it.
fn tell_stays(sandbox: &Sandbox, user: Uid, report: &mut Report<'_>) {
    let left = sandbox.place.leftovers_of(user);
    let Some(first) = left.first() else { return };
    let path = sandbox.place.path_of(first.name());
    let more = if left.len() > 1 { format!(" and {} more", left.len() - 1) } else { String::new() };
    report.notice(&format!(
        "{}{more}: uid {user} cannot remove this, which is left beside the sandbox; root can: rm -rf {0}",
        Shown::os(&path)
    ));
}

fn shown(sandbox: &Sandbox) -> String {
    Shown::os(&sandbox.retained_path()).to_string()
}
