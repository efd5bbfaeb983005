//! After a job: takes the sandbox from the job user.
//!
//! O is the retained directory, J the job's sandbox:
//!
//! 1. remove everything but the proxy from O; make an empty H in it;
//! 2. the switcher exchanges the names of J and H, and takes J, which is in O now;
//! 3. give J a name that tells that it is taken; remove its proxy; move all its other entries to O;
//! 4. give O the time and the mode of J: the commit. Now it is not marked, and the complete data;
//! 5. remove J, which is empty; rename O to `<sandbox>`, in the place of H.
//!
//! Once the names are exchanged, the files come to O. If this helper is killed, the next one
//! continues ([`finish()`](super::finish())).

use error::{Context as _, Error, Result};
use sys::{Dir, Kind, OwnedName, Rename, Time, xattr};

use super::call::{Answer, OwnerCall, Report as CallReport};
use super::finish::{refuse_unfinished, with_lease};
use super::inner::{Inner, Phase};
use super::{Attempt, UNLISTED, top_limit};
use crate::batch::cleanup::Policy;
use crate::batch::error::HelperError;
use crate::batch::report::Report;
use crate::batch::retry::{Retries, retrying};
use crate::batch::sandbox::{Found, MARK, Sandbox};
use crate::batch::switcher::Switcher;

/// Takes the sandbox. Returns the entries of O that could not be removed.
pub fn take(
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    policy: Policy,
    report: &mut Report<'_>,
) -> Result<Attempt<Vec<OwnedName>>, HelperError> {
    let retained = sandbox.open_retained()?;
    let proxy = sandbox.read_proxy(&retained, &sandbox.retained_path())?;
    let earlier = sandbox.marked_aside();
    // While the proxy is not alone in O, this directory tells its name, and that of H.
    let kept = sandbox.make_retained(&proxy)?;
    if !sandbox.marked_aside().contains(&kept) {
        sandbox.remove_leftover(&kept);
        return Ok(Attempt::Copy(UNLISTED.to_owned()));
    }
    if !withdraw(sandbox, &retained, &earlier)? {
        sandbox.remove_leftover(&kept);
        resume(sandbox, switcher, retries, policy, report)?;
        return Ok(Attempt::Done(Vec::new()));
    }
    let before = retained.stat_self().at("examine", sandbox.retained_path())?.modified();
    let prepared = prepare(sandbox, &retained, &kept);
    let (inner, left) = prepared.inspect_err(|_| sandbox.remove_leftover(&kept))?;
    let (from, exchange) = (sandbox.path(), inner.path());
    let taken = retrying(retries, report, |_| {
        OwnerCall::take(switcher, (&from, &exchange), policy.links, top_limit(switcher))
    });
    match taken {
        Ok(Answer::Done(taken)) => {
            complete(sandbox, inner.enter(Phase::Taken)?, policy, taken)?.add_to(report);
            Ok(Attempt::Done(left))
        }
        // The first of several calls may have exchanged the names.
        Ok(Answer::Copy(why)) if sandbox.found()? == Found::Placeholder => {
            Err(Error::refused(inner.path(), why).into())
        }
        Ok(Answer::Copy(why)) => {
            undo(sandbox, &inner, &kept, before)?;
            Ok(Attempt::Copy(why))
        }
        Err(failure) => Err(match sandbox.found() {
            Ok(Found::Placeholder) => failure,
            // Nothing is taken yet.
            _ => failure.and_then(undo(sandbox, &inner, &kept, before)),
        }),
    }
}

/// Removes what is left of earlier cleanups that were killed in step 1: a call of theirs that still
/// runs cannot exchange names then. False if one has done it already.
fn withdraw(sandbox: &Sandbox, retained: &Dir, earlier: &[OwnedName]) -> Result<bool> {
    for name in earlier {
        let Ok(found) = sandbox.place.parent.stat(name.name()) else { continue };
        let inner = Inner::of(retained, sandbox.retained_path(), &found, Phase::Take)?;
        if inner.exists() && inner.remove().is_err() {
            return Ok(false);
        }
        sandbox.remove_leftover(name);
    }
    Ok(true)
}

/// Undoes step 1, as far as that is possible.
fn undo(sandbox: &Sandbox, inner: &Inner<'_>, kept: &OwnedName, before: Time) -> Result<()> {
    inner.remove()?;
    sandbox.remove_leftover(kept);
    inner.outer.set_modified(before).at("set the time of", sandbox.retained_path())
}

/// Step 1.
fn prepare<'a>(
    sandbox: &Sandbox,
    retained: &'a Dir,
    kept: &OwnedName,
) -> Result<(Inner<'a>, Vec<OwnedName>)> {
    let left = sandbox.empty_retained(retained)?;
    let found = sandbox.place.parent.stat(kept.name());
    let found = found.at("examine", sandbox.place.path_of(kept.name()))?;
    let inner = Inner::of(retained, sandbox.retained_path(), &found, Phase::Take)?;
    // By this mode it is known in the place of the sandbox.
    inner.create()?.set_mode(MARK).at("set the mode of", inner.path())?;
    Ok((inner, left))
}

/// Step 2 again, if the helper that began it was killed, and the steps after it.
pub(super) fn resume(
    sandbox: &Sandbox,
    switcher: &Switcher,
    retries: Retries,
    policy: Policy,
    report: &mut Report<'_>,
) -> Result<(), HelperError> {
    let (retained, path) = (sandbox.open_retained()?, sandbox.retained_path());
    // A second take would find that some names of a file are outside of J.
    if let Some(inner) = Inner::find(sandbox, &retained, &path, Phase::Taken)? {
        complete(sandbox, inner, policy, CallReport::default())?;
        return Ok(());
    }
    let Some(inner) = Inner::find(sandbox, &retained, &path, Phase::Take)? else {
        refuse_unfinished(sandbox, &retained)?;
        return Ok(put_back(sandbox)?);
    };
    let switcher = with_lease(switcher, &inner, sandbox.user())?;
    let (from, exchange) = (sandbox.path(), inner.path());
    let taken = retrying(retries, report, |_| {
        OwnerCall::take(&switcher, (&from, &exchange), policy.links, None)
    })?;
    match taken {
        Answer::Done(taken) => {
            complete(sandbox, inner.enter(Phase::Taken)?, policy, taken)?.add_to(report);
            Ok(())
        }
        Answer::Copy(why) => Err(Error::refused(inner.path(), why).into()),
    }
}

/// Steps 3 to 5. The job's proxy is not counted as taken.
fn complete(
    sandbox: &Sandbox,
    inner: Inner<'_>,
    policy: Policy,
    mut taken: CallReport,
) -> Result<CallReport> {
    let (dir, outer) = (inner.open()?, inner.outer);
    let of_job = dir.stat_self().at("examine", inner.path())?;
    inner.avoid_names(&dir)?;
    copy_attributes(&dir, outer).at("copy the attributes of", inner.path())?;
    if dir.stat(sandbox.proxy.name()).is_ok_and(|found| found.kind() == Kind::File) {
        let files = &mut taken.changed.totals.files;
        *files = files.saturating_sub(1);
    }
    inner.empty(&dir, sandbox.proxy.name())?;
    let mode = if policy.closes_top { of_job.mode() & 0o700 } else { of_job.mode() };
    outer
        .set_modified(of_job.modified())
        .and_then(|()| outer.set_mode(mode))
        .at("set the mode of", sandbox.retained_path())?;
    inner.remove()?;
    // The removal has changed it.
    outer.set_modified(of_job.modified()).at("set the time of", sandbox.retained_path())?;
    put_back(sandbox)?;
    Ok(taken)
}

/// Gives O the sandbox's name, in the place of the empty directory H.
fn put_back(sandbox: &Sandbox) -> Result<()> {
    let place = &sandbox.place;
    let renamed = place.parent.rename(sandbox.retained_name(), place.name.name(), Rename::Replace);
    renamed.at("rename", sandbox.retained_path())
}

/// O gets the user attributes of J.
fn copy_attributes(from: &Dir, to: &Dir) -> sys::Result<()> {
    let (mut names, mut value) = (Vec::new(), Vec::new());
    xattr::list(from, &mut names)?;
    for name in tree::user_attributes(&names) {
        xattr::get(from, name, &mut value)?;
        xattr::set(to, name.to_bytes(), &value)?;
    }
    Ok(())
}
