//! Finishes a change of owner whose helper was killed. The direction is always back: a sandbox that
//! was not given completely becomes what it was before, and one that was not taken completely is
//! taken.

use std::path::{Path, PathBuf};

use error::{Context as _, Error, Result};
use sys::{Dir, Uid};

use super::call::OwnerCall;
use super::inner::{Inner, Phase};
use super::take;
use crate::batch::cleanup::Policy;
use crate::batch::error::HelperError;
use crate::batch::report::Report;
use crate::batch::retry::{Retries, retrying};
use crate::batch::sandbox::{Found, MARK, Retained, Sandbox};
use crate::batch::switcher::Switcher;

/// What is left to do.
enum Unfinished {
    /// The sandbox is being given: H is in this directory, which has this path.
    Giving(Dir, PathBuf),
    /// It is being taken.
    Taking,
}

/// Whether there is something to finish.
pub fn is_unfinished(sandbox: &Sandbox) -> Result<bool> {
    Ok(unfinished(sandbox)?.is_some())
}

/// Whether its files are being taken: they are in a directory in the retained one. What is in the
/// sandbox itself decides nothing.
pub fn is_being_taken(sandbox: &Sandbox) -> Result<bool> {
    Ok(matches!(unfinished(sandbox)?, Some(Unfinished::Taking)))
}

fn unfinished(sandbox: &Sandbox) -> Result<Option<Unfinished>> {
    let (retained, found) = (sandbox.retained()?, sandbox.found()?);
    let is_found = |dir: &Dir, path: &Path, phase| {
        Inner::find(sandbox, dir, path, phase).map(|found| found.is_some())
    };
    if matches!(retained, Retained::Proxy | Retained::Data) {
        if found == Found::Placeholder {
            return Ok(Some(Unfinished::Taking));
        }
        // Without R, H is not there.
        if !sandbox.marked_aside().is_empty() {
            let (dir, path) = (sandbox.open_retained()?, sandbox.retained_path());
            // Whatever has the name of the sandbox: another user can have taken it meanwhile.
            let taken = Inner::find(sandbox, &dir, &path, Phase::Take)?;
            let is_unused = taken.map(|inner| inner.is_unused(sandbox.user())).transpose()?;
            if is_unused == Some(false) || is_found(&dir, &path, Phase::Taken)? {
                return Ok(Some(Unfinished::Taking));
            }
            if is_found(&dir, &path, Phase::Give)? {
                return Ok(Some(Unfinished::Giving(dir, path)));
            }
        }
    }
    if retained == Retained::Absent || found != Found::Mine {
        return Ok(None);
    }
    let (dir, path) = (sandbox.open()?, sandbox.path());
    Ok(is_found(&dir, &path, Phase::Give)?.then_some(Unfinished::Giving(dir, path)))
}

/// An error if a directory, which is about to be emptied, has files of a change of owner that was
/// not finished: the directory R that tells so is gone, or cannot be found.
pub fn refuse_unfinished(sandbox: &Sandbox, retained: &Dir) -> Result<()> {
    let path = sandbox.retained_path();
    if !Inner::may_be_in(retained, &path, sandbox.user())? {
        return Ok(());
    }
    let why = "a setup or cleanup was interrupted while files were in a directory in it whose name \
               begins with .glexec_handover., and what tells about that directory is gone: move it \
               away";
    Err(Error::refused(path, why))
}

/// Finishes it, if there is something to finish: afterwards the sandbox is in one of the states
/// that a hand-over by copying has. The retained proxy must be a file that the switcher accepts.
pub fn finish(
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    policy: Policy,
    report: &mut Report<'_>,
) -> Result<(), HelperError> {
    match unfinished(sandbox)? {
        None => Ok(()),
        Some(Unfinished::Taking) => take::resume(sandbox, switcher, retries, policy, report),
        Some(Unfinished::Giving(dir, path)) => {
            match Inner::find(sandbox, &dir, &path, Phase::Give)? {
                Some(inner) => retract(sandbox, switcher, retries, &inner, report),
                None => Ok(()),
            }
        }
    }
}

/// Takes back what was given of H, which no job has had, and moves it up.
fn retract(
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    inner: &Inner<'_>,
    report: &mut Report<'_>,
) -> Result<(), HelperError> {
    let found = inner.outer.stat(inner.name.name()).at("examine", inner.path())?;
    // H gets the sandbox's mode as the last step.
    let mode = if found.mode() == MARK { 0o700 } else { found.mode() | 0o700 };
    let user = sandbox.user();
    if inner.may_be_given(user)? {
        let switcher = with_lease(switcher, inner, user)?;
        let undone = retrying(retries, report, |_| OwnerCall::undo(&switcher, &inner.path()));
        // A call of the helper that was killed may have completed it meanwhile, or undone it.
        if !inner.exists() {
            return Ok(());
        }
        if inner.may_be_given(user)? {
            undone?;
        }
    }
    inner.empty(&inner.open()?, sandbox.proxy.name())?;
    unmark(sandbox, inner.outer, mode)?;
    inner.remove()?;
    Ok(inner.outer.set_modified(found.modified()).at("set the time of", &inner.outer_path)?)
}

/// The switcher with a lease for the user that has a part of H. Its lease may have ended: while the
/// sandbox is handed over, the credential is not always at its path.
pub(super) fn with_lease(switcher: &Switcher, inner: &Inner<'_>, user: Uid) -> Result<Switcher> {
    let (switcher, owner) = (switcher.clone(), inner.other_owner(user)?);
    Ok(match owner {
        Some(owner) => switcher.with_lease_for(owner),
        None => switcher,
    })
}

/// Where O is the retained directory: without the mark it is the data.
fn unmark(sandbox: &Sandbox, outer: &Dir, mode: u32) -> Result<()> {
    let marked = outer.stat_self().at("examine", sandbox.retained_path())?.mode() == MARK;
    if !marked || !sandbox.is_retained(outer) {
        return Ok(());
    }
    outer.set_mode(mode & 0o777).at("set the mode of", sandbox.retained_path())
}
