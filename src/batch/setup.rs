//! Before a job: gives the sandbox to the job user, and retains the proxy.
//!
//! O is the directory that `<sandbox>` is before; a starter may stand in it. At every moment one
//! complete copy of the data is at `<sandbox>` or `<sandbox>.condor`:
//!
//! 1. make a directory R with a copy of the proxy, marked; name it `.condor`;
//! 2. the agent builds a complete copy J of the sandbox;
//! 3. `.condor` becomes R again;
//! 4. `<sandbox>` (O) becomes `.condor`: unmarked, so it is the data;
//! 5. the agent names J `<sandbox>`;
//! 6. O is marked: now `<sandbox>` is the data, and the job user's;
//! 7. O's proxy is replaced by a file of this helper's own, 0600;
//! 8. everything else in O is deleted, and then R, in the background if it is much. R holds the
//!    proxy, so that its name is known as long as it is not alone in O.
//!
//! The process that deletes holds the ticket ([`Ticket`]) of this helper: cleanup waits for it. Up
//! to step 7 a failure puts everything back; a helper that is killed leaves what cleanup
//! understands.

use std::fs::File;

use error::{Context as _, Error, Result};
use sys::{Dir, Kind, OwnedName, Uid, file, fork};
use wire::{Dropped, Totals};

use super::agent::{Agent, AgentCall};
use super::report::Report;
use super::retry::{Attempt, Failure, Patience, retrying};
use super::sandbox::{Found, MARK, Retained, Sandbox};
use super::space;
use super::switcher::Switcher;
use super::ticket::Ticket;

/// What is deleted faster than a process is started: so many entries, with so many bytes.
const QUICK_ENTRIES: u64 = 100;
const QUICK_BYTES: u64 = 16 << 20;

/// Hands the sandbox over. `report` gets what the caller and the log want to know.
pub fn setup(
    sandbox: &Sandbox,
    switcher: &Switcher,
    patience: Patience,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    examine(sandbox).map_err(Failure::BadInput)?;
    let ticket = Ticket::take(sandbox)?;
    let (dir, proxy) = begin(sandbox, ticket.as_ref()).map_err(Failure::BadInput)?;
    let retained = retain(sandbox, &proxy)?;
    report.request = sandbox.request();
    let (agent, moved) =
        match retrying(patience, report, |report| copy(sandbox, switcher, &dir, report)) {
            Ok(copied) => copied,
            Err(failure) => {
                // Retries that are used up are no reason to call once more.
                if matches!(failure, Failure::Hopeless(_)) {
                    sweep_others(sandbox, switcher);
                }
                return Err(failure.and_then(sandbox.remove_retained()));
            }
        };
    report.moved = Some(moved);
    hand_over(sandbox, switcher, agent, &dir, (&retained, &proxy))?;
    delete(sandbox, ticket, &dir, &retained, moved.0);
    Ok(())
}

/// Checks that there is a sandbox of ours to hand over. Returns what is at its retained name.
fn examine(sandbox: &Sandbox) -> Result<Retained> {
    match (sandbox.found()?, sandbox.retained()?) {
        (Found::Mine, retained @ (Retained::Absent | Retained::Aside | Retained::Proxy)) => {
            Ok(retained)
        }
        (Found::Nothing, Retained::Absent) => {
            Err(Error::refused(sandbox.path(), "there is no such directory"))
        }
        (Found::Theirs(_), Retained::Proxy) => {
            Err(Error::refused(sandbox.path(), "it is set up already; clean it up first"))
        }
        (Found::Theirs(uid) | Found::Other(uid), Retained::Absent) => Err(Error::refused(
            sandbox.path(),
            format!("it is not a directory of yours but uid {uid}'s"),
        )),
        (_, Retained::Aside | Retained::Proxy | Retained::Data) => {
            let why =
                "an earlier setup or cleanup was interrupted: run condor_glexec_cleanup first";
            Err(Error::refused(sandbox.retained_path(), why))
        }
    }
}

/// Once no other helper works on it: opens the sandbox, and reads its proxy. What a setup that was
/// killed before it had copied anything left behind is removed.
fn begin(sandbox: &Sandbox, ticket: Option<&Ticket<'_>>) -> Result<(Dir, Vec<u8>)> {
    if examine(sandbox)? == Retained::Proxy {
        sandbox.remove_retained()?;
    }
    sandbox.sweep_but(ticket);
    let dir = sandbox.open()?;
    let proxy = sandbox.read_proxy(&dir, &sandbox.path())?;
    Ok((dir, proxy))
}

/// Step 1. Returns the temporary name that the retained directory had, for step 3.
fn retain(sandbox: &Sandbox, proxy: &[u8]) -> Result<OwnedName> {
    let name = sandbox.make_retained(proxy)?;
    sandbox.retain(&name).inspect_err(|_| sandbox.forget(&name)).map(|()| name)
}

/// Step 2, once: the agent has a complete copy, or deletes what it has of one.
fn copy(
    sandbox: &Sandbox,
    switcher: &Switcher,
    dir: &Dir,
    report: &mut Report<'_>,
) -> Result<(Agent, (Totals, Dropped)), Attempt> {
    let mut agent = AgentCall::serve(switcher, &sandbox.path())?.wait_for_hello()?;
    let top = || dir.try_clone().at("open", sandbox.path());
    let room = space::check(sandbox, &sandbox.place, &mut agent, |_| {
        tree::measure(top()?, sandbox.path().as_os_str(), &mut || ())
    });
    let received = room
        .and_then(|()| top())
        .and_then(|top| agent.upload(top, &sandbox.place, &mut report.progress));
    match received {
        Ok(moved) => Ok((agent, moved)),
        Err(error) => Err(agent.fail(error)),
    }
}

/// What a killed agent left is the job user's. Later there is no credential to call another agent
/// with, which could remove it: unless this sandbox is set up again, it would stay for ever.
fn sweep_others(sandbox: &Sandbox, switcher: &Switcher) {
    if sandbox.others_left_something() {
        if let Some(mut agent) = call_once(sandbox, switcher) {
            let _ = agent.sweep();
            agent.close();
        }
    }
}

/// An agent for what is good to have done, and no failure if it is not.
fn call_once(sandbox: &Sandbox, switcher: &Switcher) -> Option<Agent> {
    AgentCall::serve(switcher, &sandbox.path()).ok()?.wait_for_hello().ok()
}

/// Steps 3 to 7. Each is undone if a later one fails. `retained` is the temporary name that R had,
/// and the proxy.
fn hand_over(
    sandbox: &Sandbox,
    switcher: &Switcher,
    mut agent: Agent,
    dir: &Dir,
    (retained, proxy): (&OwnedName, &[u8]),
) -> Result<(), Failure> {
    if let Err(error) = sandbox.unretain(retained) {
        return Err(Failure::Hopeless(error.and_then(sandbox.remove_retained())));
    }
    let mode = match sandbox.unmark(dir) {
        Ok(mode) => mode,
        Err(error) => {
            sandbox.forget(retained);
            return Err(error.into());
        }
    };
    let moved = sandbox.sandbox_to_retained();
    let published =
        moved.and_then(|()| agent.publish()).and_then(|()| check_published(sandbox, agent.uid));
    let done = published.and_then(|()| commit(sandbox, dir, proxy));
    let uid = agent.uid;
    agent.close();
    let Err(error) = done else { return Ok(()) };
    // First of all it is to be the data again.
    let unmarked = if mode == MARK { mode & 0o700 } else { mode };
    let put_back = dir
        .set_mode(unmarked)
        .at("set the mode of", sandbox.path())
        .and_then(|()| put_back(sandbox, switcher, dir, uid))
        .and_then(|()| dir.set_mode(mode).at("set the mode of", sandbox.path()));
    if put_back.is_ok() {
        sandbox.forget(retained);
    }
    Err(Failure::Hopeless(error.and_then(put_back)))
}

/// What has the sandbox's name now must be the agent's copy: from the commit on it is the only one.
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

/// Step 8: deletes the old data, and then the directory of the temporary name `retained`. The
/// caller waits for it only where that is no time at all, or where there is no ticket that keeps a
/// cleanup waiting.
fn delete(
    sandbox: &Sandbox,
    ticket: Option<Ticket<'_>>,
    dir: &Dir,
    retained: &OwnedName,
    moved: Totals,
) {
    let Totals { directories, files, symlinks, links, bytes, passed, attributes: _ } = moved;
    let quick = directories + files + symlinks + links <= QUICK_ENTRIES
        && bytes.saturating_add(passed) <= QUICK_BYTES;
    let delete = || {
        // What can't be removed stays until cleanup says so.
        if let Ok(again) = dir.try_clone() {
            let _ = tree::empty(again, Some(sandbox.proxy.name()), sandbox.retained_path());
        }
        sandbox.forget(retained);
    };
    let in_child = |ticket: &Ticket<'_>| {
        let work = || {
            delete();
            ticket.remove();
        };
        fork::fork_daemon(&[&sandbox.place.parent, dir, &ticket.dir], work).is_ok()
    };
    match ticket {
        Some(ticket) if !quick && in_child(&ticket) => ticket.leave(),
        _kept => delete(),
    }
}

/// Undoes steps 4 and 5. The agent may have named its copy, and may be gone: another one takes the
/// name back.
fn put_back(sandbox: &Sandbox, switcher: &Switcher, dir: &Dir, uid: Uid) -> Result<()> {
    let found = sandbox.found()?;
    if found == Found::Mine {
        return Ok(());
    }
    if !sandbox.is_retained(dir) {
        // Between two steps a bystander can take the retained name.
        let why = "somebody took this name; the sandbox is the job user's complete copy: clean it up once the name is free";
        return Err(Error::refused(sandbox.retained_path(), why));
    }
    let published = found == Found::Theirs(uid);
    if published || sandbox.others_left_something() {
        // What a killed agent left can be removed only while there is a credential to call another
        // one with.
        with_usable_proxy(sandbox, dir, || {
            if let Some(mut agent) = call_once(sandbox, switcher) {
                let _ = agent.sweep();
                if published {
                    // If it can't, the name is still taken, and the next line says where the data
                    // is.
                    let _ = agent.retire();
                }
                agent.close();
            }
        });
    }
    sandbox.retained_to_sandbox()
}

/// Does something that needs a credential while the sandbox is the retained directory: a switcher
/// may refuse one that others can read, as the sandbox's own may be.
fn with_usable_proxy(sandbox: &Sandbox, dir: &Dir, work: impl FnOnce()) {
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
