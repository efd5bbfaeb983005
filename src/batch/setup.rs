//! Before a job: gives the sandbox to the job user, and retains the proxy.
//!
//! At every moment one complete copy of the data is at `<sandbox>` or `<sandbox>.condor`:
//!
//! 1. make the retained directory R, marked, with a copy of the proxy; name it `.condor`;
//! 2. the agent builds a complete copy J of the sandbox;
//! 3. `.condor` becomes R again;
//! 4. `<sandbox>` becomes `.condor`: unmarked, so it is the data;
//! 5. the agent names J `<sandbox>`;
//! 6. R and `.condor` are exchanged: now `<sandbox>` is the data, and the job user's;
//! 7. the old data is deleted, in the background if it is much: a crash leaves a temporary name that the next helper sweeps.
//!
//! Up to step 6 a failure puts everything back; a helper that is killed leaves what cleanup understands.

use super::agent::{Agent, Called};
use super::report::Report;
use super::retry::{Attempt, Failure, Patience, retrying};
use super::sandbox::{Found, Retained, Sandbox};
use super::space;
use super::switcher::Switcher;
use crate::error::{Context as _, Error, Result};
use crate::sys::{Dir, OwnedName, process};
use crate::tree;
use crate::wire::{Dropped, Totals};

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
    let (dir, proxy) = examine(sandbox).map_err(Failure::BadInput)?;
    let retained = retain(sandbox, &proxy)?;
    report.request = sandbox.request();
    let (agent, moved) = match retrying(patience, report, |report| copy(sandbox, switcher, &dir, report)) {
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
    let old = hand_over(sandbox, switcher, agent, &dir, &retained)?;
    delete(sandbox, &old, moved.0);
    Ok(())
}

/// Checks that there is a sandbox of ours to hand over, and reads its proxy. What a setup that was killed before it had
/// copied anything left behind is removed.
fn examine(sandbox: &Sandbox) -> Result<(Dir, Vec<u8>)> {
    let retained = sandbox.retained()?;
    match (sandbox.found()?, retained) {
        (Found::Mine, Retained::Absent) => {}
        (Found::Mine, Retained::Proxy) => sandbox.remove_retained()?,
        (Found::Nothing, Retained::Absent) => {
            return Err(Error::refused(sandbox.path(), "there is no such directory"));
        }
        (Found::Theirs(_), Retained::Proxy) => {
            return Err(Error::refused(sandbox.path(), "it is set up already; clean it up first"));
        }
        (Found::Theirs(uid) | Found::Other(uid), Retained::Absent) => {
            return Err(Error::refused(sandbox.path(), format!("it is not a directory of yours but uid {uid}'s")));
        }
        (_, Retained::Proxy | Retained::Data) => {
            let why = "an earlier setup or cleanup was interrupted: run condor_glexec_cleanup first";
            return Err(Error::refused(sandbox.retained_path(), why));
        }
    }
    sandbox.sweep_all();
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
    let mut agent = Called::new(switcher, sandbox.path().as_os_str())?.hello()?;
    let top = || dir.again().at("open", sandbox.path());
    let room = space::check(sandbox, &mut agent, |_| tree::measure(top()?, sandbox.path().as_os_str(), &mut || ()));
    let received = room.and_then(|()| top()).and_then(|top| agent.receive(top, &sandbox.place, &mut report.progress));
    match received {
        Ok(moved) => Ok((agent, moved)),
        Err(error) => Err(agent.fail(error)),
    }
}

/// What a killed agent left is the job user's. Later there is no credential to call another agent with, which could remove
/// it: unless this sandbox is set up again, it would stay for ever.
fn sweep_others(sandbox: &Sandbox, switcher: &Switcher) {
    if sandbox.others_left_something()
        && let Ok(called) = Called::new(switcher, sandbox.path().as_os_str())
        && let Ok(mut agent) = called.hello()
    {
        let _ = agent.sweep();
        agent.farewell();
    }
}

/// Steps 3 to 6. Each is undone if a later one fails. Returns the temporary name that the old data has then.
fn hand_over(
    sandbox: &Sandbox,
    switcher: &Switcher,
    mut agent: Agent,
    dir: &Dir,
    retained: &OwnedName,
) -> Result<OwnedName, Failure> {
    if let Err(error) = sandbox.unretain(retained) {
        return Err(Failure::Hopeless(error.and_then(sandbox.remove_retained())));
    }
    let mode = match unmark(sandbox, dir) {
        Ok(mode) => mode,
        Err(error) => {
            sandbox.forget(retained);
            return Err(error.into());
        }
    };
    let moved = sandbox.sandbox_to_retained();
    let done = moved.and_then(|()| agent.publish()).and_then(|()| sandbox.exchange(retained));
    let uid = agent.uid;
    agent.farewell();
    match done {
        Ok(old) => Ok(old),
        Err(error) => {
            let put_back = put_back(sandbox, switcher, dir, uid)
                .and_then(|()| dir.set_mode(mode).at("set the mode of", sandbox.path()));
            if put_back.is_ok() {
                sandbox.forget(retained);
            }
            Err(Failure::Hopeless(error.and_then(put_back)))
        }
    }
}

/// Step 7: deletes the old data. The caller waits for it only where that is no time at all.
fn delete(sandbox: &Sandbox, old: &OwnedName, moved: Totals) {
    let Totals { directories, files, symlinks, links, bytes, passed, attributes: _ } = moved;
    let quick = directories + files + symlinks + links <= QUICK_ENTRIES && bytes.saturating_add(passed) <= QUICK_BYTES;
    if quick || process::in_background(&sandbox.place.parent, || sandbox.forget(old)).is_err() {
        sandbox.forget(old);
    }
}

/// Undoes steps 4 and 5. The agent may have named its copy, and may be gone: another one takes the name back.
fn put_back(sandbox: &Sandbox, switcher: &Switcher, dir: &Dir, uid: u32) -> Result<()> {
    let found = sandbox.found()?;
    if found == Found::Mine {
        return Ok(());
    }
    if !sandbox.is_retained(dir) {
        // Where names can't be exchanged, somebody can take the retained name in between.
        let why =
            "somebody took this name; the sandbox is the job user's complete copy: clean it up once the name is free";
        return Err(Error::refused(sandbox.retained_path(), why));
    }
    let published = found == Found::Theirs(uid);
    if (published || sandbox.others_left_something())
        && let Ok(called) = Called::new(switcher, sandbox.path().as_os_str())
        && let Ok(mut agent) = called.hello()
    {
        // What a killed agent left can be removed only while there is a credential to call another one with.
        let _ = agent.sweep();
        if published {
            // If it can't, the name is still taken, and the next line says where the data is.
            let _ = agent.retire();
        }
        agent.farewell();
    }
    sandbox.retained_to_sandbox()
}

/// A sandbox with the sticky bit would look like a retained directory once it has that name: it loses the bit, as its copy
/// has. Returns the mode that it had.
fn unmark(sandbox: &Sandbox, dir: &Dir) -> Result<u32> {
    let mode = dir.stat_self().at("examine", sandbox.path())?.mode();
    if mode & 0o1000 != 0 {
        dir.set_mode(mode & !0o1000).at("set the mode of", sandbox.path())?;
    }
    Ok(mode)
}
