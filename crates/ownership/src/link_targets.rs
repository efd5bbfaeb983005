//! Copies in the place of links that leave the directory, made with the payload user's rights.

use std::os::fd::AsFd as _;

use command::refusal::{Refusal, Result};
use sys::{Dir, Errno};
use tree::{Place, owner, remove};

use super::as_payload_user;
use super::target::{Target, failed};
use super::users::Users;

/// Puts the copies into the tree. A directory beside it, which is the payload user's and is removed
/// in the end, is where they are made: that user may not be able to make one.
pub(super) fn copy(target: &Target<'_>, users: Users) -> Result<()> {
    let refused = |error: error::Error| Refusal::internal(error.to_string());
    let place = target.place;
    let (name, beside) = place.create_dir().map_err(refused)?;
    let copied = sys::owner::set(&beside, users.payload)
        .map_err(|cause| failed("make a directory beside", place, cause))
        .and_then(|()| {
            let path = place.path_of(name.name());
            let beside = Place { parent: beside, path, name: place.name.clone() };
            in_child(target, &beside, users)
        });
    let removed = remove(&place.parent, name.name(), &place.path).map_err(refused);
    copied.and(removed)
}

/// Runs a process of the payload's user for the copies.
fn in_child(target: &Target<'_>, beside: &Place, users: Users) -> Result<()> {
    let dir = target.again()?;
    let keep = [dir.as_fd(), beside.parent.as_fd()];
    match as_payload_user::run(users, &keep, || replace_links(&dir, target, beside))? {
        Some(done) => done,
        None => Err(failed("copy the targets of links in", target.place, Errno::EINTR)),
    }
}

fn replace_links(dir: &Dir, target: &Target<'_>, beside: &Place) -> Result<()> {
    let dir = dir.try_clone().map_err(|cause| failed("open", target.place, cause))?;
    owner::copy_link_targets(dir, &target.path(), beside, &mut || ())
        .map(drop)
        .map_err(|error| Refusal::internal(error.to_string()))
}
