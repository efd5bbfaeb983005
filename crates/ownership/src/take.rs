//! Taking a directory from the payload's user.

use command::refusal::{Refusal, Result};
use sys::Rename;
use tree::Place;
use tree::owner::{self, Direction, Policy};
use wire::Links;

use super::target::{Holder, Target, check_top, path_of, unfit};
use super::users::Users;
use super::{AGAIN, link_targets, report};

/// Takes a directory, after it has exchanged its name with an empty one of the caller's, if there
/// is one.
pub(super) fn take(
    place: &Place,
    exchange: Option<&Place>,
    links: Links,
    top_limit: Option<u64>,
    users: Users,
) -> Result<String> {
    let mut target = Target::existing(place, users)?;
    let (mut exchange, mut is_resumed) = (exchange, false);
    if let Some(other) = exchange {
        let empty = Target::existing(other, users)?;
        if target.is_empty_of_caller()? {
            // An earlier call has exchanged the names, and was killed later.
            target = empty;
            (exchange, is_resumed) = (None, true);
        } else if !empty.is_empty_of_caller()? {
            let why = "--exchange needs an empty directory that belongs to you";
            return Err(Refusal::client(format!("{}: {why}", path_of(other))));
        }
    }
    let scan =
        owner::scan(target.again()?, &target.path(), &users.ids, Direction::Take, &mut || ());
    let scan = match scan {
        // It cannot be copied any more. What is wrong with it, `take` can stand.
        Err(_) if is_resumed => None,
        scan => Some(scan.map_err(unfit)?),
    };
    // The caller's already: an earlier call has done this.
    let is_whole = target.holder()? == Holder::Payload;
    if let Some(scan) = scan.filter(|_| is_whole) {
        check_top(&target, &scan, top_limit)?;
    }
    if is_whole && links == Links::Copy && scan.is_none_or(|scan| scan.totals.symlinks > 0) {
        owner::check_leases(target.place, &users.ids).map_err(unfit)?;
        link_targets::copy(&target, users)?;
    }
    if let Some(other) = exchange {
        target.rename(other, Rename::Exchange)?;
        target.place = other;
    }
    let (dir, path) = (target.again()?, target.path());
    let policy = Policy::Return(links, users.job);
    match owner::take(dir, &path, &users.ids, policy, target.place, &mut || ()) {
        Ok(taken) => {
            target.refuse_foreign(&taken)?;
            Ok(report::taken(target.place, users, &taken))
        }
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
