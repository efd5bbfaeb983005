//! Taking back what was given, as it was: no payload has had it.

use command::refusal::{Refusal, Result};
use tree::Place;
use tree::owner::{self, Job, Policy, Taken};
use wire::Links;

use super::target::{BEING_GIVEN, Holder, Target};
use super::users::Users;
use super::{AGAIN, report};

/// Takes back a directory that an earlier call was giving when it was killed. A directory of the
/// payload user's counts as one, since the last step may be all that is missing. It is a usage
/// error if a directory of the caller's was not being given.
pub(super) fn run(place: &Place, users: Users) -> Result<String> {
    let target = Target::existing(place, users)?;
    if target.holder()? == Holder::Caller && target.stat()?.mode() != BEING_GIVEN {
        return Err(Refusal::client(format!(
            "{}: it is yours, and no call was giving it (its mode would be {BEING_GIVEN:o})",
            target.shown()
        )));
    }
    // The mode that it had is lost.
    let taken = undo(&target, users, 0o700).map_err(|why| {
        Refusal::internal(format!("{}: cannot undo the give: {why}; {AGAIN}", target.shown()))
    })?;
    Ok(report::undone(place, users, &taken))
}

/// Takes all back, and gives the directory its mode in the end. If this is killed, the directory
/// is the payload user's, or the mode tells that it is being given: it can be repeated.
pub(super) fn undo(target: &Target<'_>, users: Users, mode: u32) -> Result<Taken> {
    target.close()?;
    let (path, ids) = (target.path(), &users.ids);
    let (top, place) = (target.again()?, target.place);
    let taken = match users.job {
        Job::Ended => owner::undo(top, &path, ids, place, &mut || ()),
        // It may have been given already, and a process of the payload's user may use it.
        Job::MayRun => {
            let policy = Policy::Return(Links::Keep, Job::MayRun);
            owner::take(top, &path, ids, policy, place, &mut || ())
        }
    };
    let taken = taken.map_err(|error| Refusal::internal(error.to_string()))?;
    target.refuse_foreign(&taken)?;
    target.set(users.caller, mode)?;
    Ok(taken)
}
