//! Before a job: hands the sandbox over to the job user, and retains the proxy.
//!
//! O is the directory that has the sandbox's name before; it may be the working directory of a
//! starter. At every moment one complete copy of the data has the name `<sandbox>` or
//! `<sandbox>.condor`:
//!
//! 1. make a marked directory R with a copy of the proxy; name it `.condor`;
//! 2. the agent builds a complete copy J of the sandbox;
//! 3. give R its temporary name back;
//! 4. rename `<sandbox>` (O) to `.condor`: unmarked, it is the data;
//! 5. the agent renames J to `<sandbox>`;
//! 6. mark O: now `<sandbox>` is the data, and the job user's;
//! 7. replace O's proxy by a new file with mode 0600;
//! 8. delete everything else in O, and then R, in the background if it is much. R contains only the
//!    proxy: while the proxy is not alone in O, R tells its name.
//!
//! Where the switcher can change the owner of a directory, it does that instead of steps 2 to 8:
//! see [`ownership`].
//!
//! The process that deletes holds the [`Ticket`] of this helper, and cleanup waits for it. A
//! failure up to step 7 restores the state from before; after the death of this helper cleanup
//! does.

use std::fs::File;

use error::{Context as _, Error, Result};
use sys::{Dir, Kind, OwnedName, Uid, file, fork};
use wire::{Dropped, Totals};

use super::agent::{Agent, AgentCall};
use super::error::{HelperError, HelperStatus};
use super::ownership;
use super::report::Report;
use super::retry::{Retries, retrying};
use super::sandbox::{Found, MARK, Retained, Sandbox};
use super::space;
use super::switcher::Switcher;
use super::ticket::Ticket;

/// Up to this much is deleted before setup ends: starting a process takes as long.
const MAX_ENTRIES_AT_ONCE: u64 = 100;
const MAX_BYTES_AT_ONCE: u64 = 16 << 20;

/// Hands the sandbox over.
pub fn setup(
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    report: &mut Report<'_>,
) -> Result<(), HelperError> {
    set_up(sandbox, switcher, retries, report, |agent| agent.close()).map(drop)
}

/// As [`setup`]; returns the agent that has made the copy, for further requests. None if the owner
/// was changed instead.
pub fn setup_keeping_agent(
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    report: &mut Report<'_>,
) -> Result<Option<Agent>, HelperError> {
    set_up(sandbox, switcher, retries, report, |agent| agent)
}

/// Hands the sandbox over. `release` gets the agent once that has done its work.
fn set_up<T>(
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    report: &mut Report<'_>,
    release: impl FnOnce(Agent) -> T,
) -> Result<Option<T>, HelperError> {
    check_state(sandbox).map_err(HelperError::bad_input)?;
    let ticket = Ticket::take(sandbox)?;
    let (dir, proxy) = open(sandbox, ticket.as_ref()).map_err(HelperError::bad_input)?;
    let retained = retain(sandbox, &proxy)?;
    report.log_id = sandbox.log_id();
    if switcher.changes_owners() {
        sweep_others(sandbox, switcher);
        let given = ownership::give(sandbox, switcher, retries, (&dir, &proxy, &retained), report)?;
        if given.done_or_copy(report).is_some() {
            return Ok(None);
        }
    }
    let copied = retrying(retries, report, |report| copy(sandbox, switcher, &dir, report));
    let (agent, moved) = match copied {
        Ok(copied) => copied,
        Err(failure) => {
            // If all retries are used up, another call would fail, too.
            if failure.status != HelperStatus::RetriesExhausted {
                sweep_others(sandbox, switcher);
            }
            return Err(failure.and_then(sandbox.remove_retained()));
        }
    };
    report.moved = Some(moved);
    let agent = hand_over(sandbox, switcher, agent, &dir, (&retained, &proxy))?;
    let released = release(agent);
    delete(sandbox, ticket, &dir, &retained, moved.0);
    Ok(Some(released))
}

/// Checks that the sandbox can be handed over. Returns what has the retained name.
fn check_state(sandbox: &Sandbox) -> Result<Retained> {
    let interrupted = || {
        let why = "an earlier setup or cleanup was interrupted: run condor_glexec_cleanup first";
        Error::refused(sandbox.retained_path(), why)
    };
    match (sandbox.found()?, sandbox.retained()?) {
        (Found::Mine, Retained::Aside | Retained::Proxy) if ownership::is_unfinished(sandbox)? => {
            Err(interrupted())
        }
        (Found::Mine, retained @ (Retained::Absent | Retained::Aside | Retained::Proxy)) => {
            Ok(retained)
        }
        (Found::Nothing, Retained::Absent) => {
            Err(Error::refused(sandbox.path(), "there is no such directory"))
        }
        (Found::Theirs(_), Retained::Proxy) => Err(Error::refused(
            sandbox.path(),
            "it is set up already; run condor_glexec_cleanup first",
        )),
        (Found::Theirs(uid) | Found::Other(uid), Retained::Absent) => Err(Error::refused(
            sandbox.path(),
            format!("it is not a directory that belongs to you (owner: uid {uid})"),
        )),
        (Found::Placeholder, _) | (_, Retained::Aside | Retained::Proxy | Retained::Data) => {
            Err(interrupted())
        }
    }
}

/// Opens the sandbox and reads its proxy, while no other helper works on it. Removes what an
/// earlier setup left that was killed before it had copied anything.
fn open(sandbox: &Sandbox, ticket: Option<&Ticket<'_>>) -> Result<(Dir, Vec<u8>)> {
    if check_state(sandbox)? == Retained::Proxy {
        sandbox.remove_retained()?;
    }
    sandbox.sweep(ticket.and_then(Ticket::name));
    let dir = sandbox.open()?;
    let proxy = sandbox.read_proxy(&dir, &sandbox.path())?;
    Ok((dir, proxy))
}

/// Step 1. Returns the temporary name of the retained directory, for step 3.
fn retain(sandbox: &Sandbox, proxy: &[u8]) -> Result<OwnedName> {
    let name = sandbox.make_retained(proxy)?;
    sandbox.retain(&name).inspect_err(|_| sandbox.remove_leftover(&name)).map(|()| name)
}

/// Step 2, once: the agent has a complete copy, or deletes its incomplete one.
fn copy(
    sandbox: &Sandbox,
    switcher: &Switcher,
    dir: &Dir,
    report: &mut Report<'_>,
) -> Result<(Agent, (Totals, Dropped))> {
    let mut agent = AgentCall::serve(switcher, &sandbox.path())?.wait_for_hello()?;
    let top = || dir.try_clone().at("open", sandbox.path());
    let has_room = space::check(sandbox, &sandbox.place, &mut agent, |_| {
        tree::measure(top()?, sandbox.path().as_os_str(), &mut || ())
    });
    let copied = has_room
        .and_then(|()| top())
        .and_then(|top| agent.upload(top, &sandbox.place, &mut report.progress));
    match copied {
        Ok(moved) => Ok((agent, moved)),
        Err(error) => Err(agent.fail(error)),
    }
}

/// Removes what a killed agent left, through another agent. Later there is no credential for such a
/// call, unless the sandbox is set up again.
fn sweep_others(sandbox: &Sandbox, switcher: &Switcher) {
    if sandbox.others_left_something() {
        if let Some(mut agent) = call_once(sandbox, switcher) {
            let _ = agent.sweep();
            agent.close();
        }
    }
}

/// An agent for work whose failure does not matter.
fn call_once(sandbox: &Sandbox, switcher: &Switcher) -> Option<Agent> {
    AgentCall::serve(switcher, &sandbox.path()).ok()?.wait_for_hello().ok()
}

/// Steps 3 to 7. Each is undone if a later one fails. `retained` is the temporary name of R;
/// `proxy` is the content of the proxy. Returns the agent.
fn hand_over(
    sandbox: &Sandbox,
    switcher: &Switcher,
    mut agent: Agent,
    dir: &Dir,
    (retained, proxy): (&OwnedName, &[u8]),
) -> Result<Agent> {
    if let Err(error) = sandbox.unretain(retained) {
        return Err(error.and_then(sandbox.remove_retained()));
    }
    let mode = sandbox.unmark(dir).inspect_err(|_| sandbox.remove_leftover(retained))?;
    let published = sandbox
        .sandbox_to_retained()
        .and_then(|()| agent.publish())
        .and_then(|()| check_published(sandbox, agent.uid));
    let committed = published.and_then(|()| commit(sandbox, dir, proxy));
    let Err(error) = committed else { return Ok(agent) };
    let uid = agent.uid;
    agent.close();
    // First the mark goes: without it the directory is the data.
    let unmarked = if mode == MARK { mode & 0o700 } else { mode };
    let restored = dir
        .set_mode(unmarked)
        .at("set the mode of", sandbox.path())
        .and_then(|()| restore(sandbox, switcher, dir, uid))
        .and_then(|()| dir.set_mode(mode).at("set the mode of", sandbox.path()));
    if restored.is_ok() {
        sandbox.remove_leftover(retained);
    }
    Err(error.and_then(restored))
}

/// Checks that the agent's copy has the sandbox's name: from the commit on it is the only one.
fn check_published(sandbox: &Sandbox, uid: Uid) -> Result<()> {
    match sandbox.found()? {
        Found::Theirs(owner) if owner == uid => Ok(()),
        _ => Err(Error::refused(
            sandbox.path(),
            format!("it is not the copy that uid {uid}'s agent says it is"),
        )),
    }
}

/// Steps 6 and 7.
fn commit(sandbox: &Sandbox, dir: &Dir, proxy: &[u8]) -> Result<()> {
    sandbox.mark(dir)?;
    let path = sandbox.retained_path();
    if dir.stat(sandbox.proxy.name()).is_ok_and(|found| found.kind() == Kind::Directory) {
        tree::remove(dir, sandbox.proxy.name(), &path)?;
    }
    sandbox.replace_proxy(dir, &path, proxy)
}

/// Step 8: deletes the old data, and then the directory with the temporary name `retained`. The
/// caller waits for it only where that takes no time, or where there is no ticket for a cleanup to
/// wait for.
fn delete(
    sandbox: &Sandbox,
    ticket: Option<Ticket<'_>>,
    dir: &Dir,
    retained: &OwnedName,
    moved: Totals,
) {
    let Totals { directories, files, symlinks, links, bytes, passed, attributes: _ } = moved;
    let is_quick = directories + files + symlinks + links <= MAX_ENTRIES_AT_ONCE
        && bytes.saturating_add(passed) <= MAX_BYTES_AT_ONCE;
    let delete = || {
        // Cleanup reports what cannot be removed.
        if let Ok(again) = dir.try_clone() {
            let _ = tree::empty(again, Some(sandbox.proxy.name()), sandbox.retained_path());
        }
        sandbox.remove_leftover(retained);
    };
    let in_child = |ticket: &Ticket<'_>| {
        let work = || {
            delete();
            ticket.remove();
        };
        fork::fork_daemon(&[&sandbox.place.parent, dir, &ticket.dir], work).is_ok()
    };
    match ticket {
        Some(ticket) if !is_quick && in_child(&ticket) => ticket.leave_to_child(),
        _ => delete(),
    }
}

/// Undoes steps 4 and 5. The agent may have renamed its copy, and may be gone: then another agent
/// takes the sandbox's name away again.
fn restore(sandbox: &Sandbox, switcher: &Switcher, dir: &Dir, uid: Uid) -> Result<()> {
    let found = sandbox.found()?;
    if found == Found::Mine {
        return Ok(());
    }
    if !sandbox.is_retained(dir) {
        // Between two steps another process can take the retained name.
        let why = "another process took this name; the sandbox is the job user's complete copy: \
                   clean it up once the name is free";
        return Err(Error::refused(sandbox.retained_path(), why));
    }
    let is_published = found == Found::Theirs(uid);
    if is_published || sandbox.others_left_something() {
        // What a killed agent left can be removed only while there is a credential for a call.
        with_private_proxy(sandbox, dir, || {
            if let Some(mut agent) = call_once(sandbox, switcher) {
                let _ = agent.sweep();
                if is_published {
                    // If this fails, the name is still taken, and the next step reports it.
                    let _ = agent.retire();
                }
                agent.close();
            }
        });
    }
    sandbox.retained_to_sandbox()
}

/// Does work that needs a credential while the sandbox has the retained name. A switcher may refuse
/// a credential that other users can read, and the sandbox's own may be one: meanwhile it has mode
/// 0600.
fn with_private_proxy(sandbox: &Sandbox, dir: &Dir, work: impl FnOnce()) {
    let proxy = dir.open_file(sandbox.proxy.name()).ok();
    let mode = |file: &File| file::stat(file).map(|found| found.mode());
    let changed = proxy.and_then(|proxy| {
        let before = mode(&proxy).ok().filter(|mode| *mode != 0o600)?;
        file::set_mode(&proxy, 0o600).ok().map(|()| (proxy, before))
    });
    work();
    if let Some((proxy, before)) = changed {
        let _ = file::set_mode(&proxy, before);
    }
}
