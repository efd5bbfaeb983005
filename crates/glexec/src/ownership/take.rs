//! Taking a directory from the payload's user.

use command::refusal::{Refusal, Result};
use sys::Rename;
use tree::Place;
use tree::owner::{self, Direction, Job, Policy, Taken};
use wire::Links;

use super::target::{Holder, Target, path_of, unfit};
use super::worker::Users;
use super::{AGAIN, link_targets, report};

/// Takes a directory, after it has exchanged its name with an empty one of the caller's, if there
/// is one. No process of the payload's user is left.
pub(super) fn take(
    place: &Place,
    exchange: Option<&Place>,
    links: Links,
    users: Users,
) -> Result<String> {
    let mut target = Target::existing(place, users)?;
    let mut exchange = exchange;
    if let Some(other) = exchange {
        let empty = Target::existing(other, users)?;
        if target.is_empty_of_caller()? {
            // An earlier call has exchanged the names, and was killed later.
            target = empty;
            exchange = None;
        } else if !empty.is_empty_of_caller()? {
            let why = "--exchange needs an empty directory that belongs to you";
            return Err(Refusal::client(format!("{}: {why}", path_of(other))));
        }
    }
    let scan =
        owner::scan(target.again()?, &target.path(), &users.ids, Direction::Take, &mut || ());
    let scan = scan.map_err(unfit)?;
    // The caller's already: an earlier call has done this.
    let is_whole = target.holder()? == Holder::Payload;
    if is_whole && links == Links::Copy && scan.totals.symlinks > 0 {
        owner::check_leases(target.place, &users.ids).map_err(unfit)?;
        link_targets::copy(&target, users)?;
    }
    if let Some(other) = exchange {
        target.rename(other, Rename::Exchange)?;
        target.place = other;
    }
    let (dir, path) = (target.again()?, target.path());
    let policy = Policy::Return(links, Job::Ended);
    match owner::take(dir, &path, &users.ids, policy, target.place, &mut || ()) {
        Ok(taken) if taken.foreign > 0 => Err(foreign(&target, &taken)),
        Ok(taken) => Ok(report::taken(target.place, users, &taken)),
        // Nothing was changed yet.
        Err(why) if is_whole && target.holder()? == Holder::Payload => {
            if exchange.is_some() {
                // The names go back.
                target.rename(place, Rename::Exchange)?;
            }
            Err(unfit(why))
        }
        Err(why) => Err(Refusal::internal(format!("{why}; {AGAIN}"))),
    }
}

fn foreign(target: &Target<'_>, taken: &Taken) -> Refusal {
    let first = taken.named_foreign.first().map_or("", String::as_str);
    Refusal::internal(format!(
        "{}: {} entries of a third user stay as they are, such as {first}",
        target.shown(),
        taken.foreign
    ))
}
