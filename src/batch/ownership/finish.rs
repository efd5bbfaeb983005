//! Finishes a change of owner whose helper was killed. The direction is always back: a sandbox that
//! was not given completely becomes what it was before, and one that was not taken completely is
//! taken.

use std::path::PathBuf;

use error::{Context as _, Result};
use sys::Dir;

use super::call::OwnerCall;
use super::inner::Inner;
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

fn unfinished(sandbox: &Sandbox) -> Result<Option<Unfinished>> {
    let (dir, path) = match (sandbox.retained()?, sandbox.found()?) {
        (Retained::Proxy | Retained::Data, Found::Placeholder) => {
            return Ok(Some(Unfinished::Taking));
        }
        (Retained::Proxy, Found::Mine) => (sandbox.open()?, sandbox.path()),
        (Retained::Proxy, Found::Nothing) | (Retained::Data, _) => {
            (sandbox.open_retained()?, sandbox.retained_path())
        }
        _ => return Ok(None),
    };
    let is_giving = Inner::find(sandbox, &dir, path.clone())?.is_some();
    Ok(is_giving.then_some(Unfinished::Giving(dir, path)))
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
        Some(Unfinished::Giving(dir, path)) => match Inner::find(sandbox, &dir, path)? {
            Some(inner) => retract(sandbox, switcher, retries, &inner, report),
            None => Ok(()),
        },
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
    if inner.may_be_given(sandbox.user())? {
        retrying(retries, report, |_| OwnerCall::undo(switcher, &inner.path()))?;
    }
    inner.empty(&inner.open()?, sandbox.proxy.name())?;
    unmark(sandbox, inner.outer, mode)?;
    inner.remove()?;
    Ok(inner.outer.set_modified(found.modified()).at("set the time of", &inner.outer_path)?)
}

/// Where O is the retained directory: without the mark it is the data.
fn unmark(sandbox: &Sandbox, outer: &Dir, mode: u32) -> Result<()> {
    let marked = outer.stat_self().at("examine", sandbox.retained_path())?.mode() == MARK;
    if !marked || !sandbox.is_retained(outer) {
        return Ok(());
    }
    outer.set_mode(mode & 0o777).at("set the mode of", sandbox.retained_path())
}
