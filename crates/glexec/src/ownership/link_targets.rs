//! Copies in the place of links that leave the directory, made with the payload user's rights.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use command::refusal::{Refusal, Result};
use sys::fork::{self, Fork};
use sys::signal::SIGKILL;
use sys::{Dir, Errno, fd, identity, inherited, prctl, process, wait};
use tree::{Place, owner, remove};

use super::target::{Target, failed};
use super::worker::Users;
use crate::restrictions;

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
    let forbidden = |cause| restrictions::forbidden("start a process of the payload's user", cause);
    let (mut answer, mut answer_end) = fd::pipe().map_err(forbidden)?;
    let above = process::getpid();
    let dir = target.again()?;
    let pid = match fork::fork().map_err(forbidden)? {
        Fork::Child => {
            let keep = [answer_end.as_fd(), dir.as_fd(), beside.parent.as_fd()];
            let done = inherited::release_all_but(&keep)
                .and_then(|()| become_payload_user(users))
                .map_err(forbidden)
                .and_then(|()| replace_links(dir, target, beside));
            if process::getppid() == above {
                let text = done.err().map_or_else(|| vec![0], |why| why.to_bytes());
                let _ = answer_end.write_all(&text);
            }
            process::_exit(0)
        }
        Fork::Parent(pid) => pid,
    };
    drop(answer_end);
    let mut bytes = Vec::new();
    let read = answer.read_to_end(&mut bytes);
    wait::wait(pid);
    match (read, bytes.first()) {
        (Ok(_), Some(0)) => Ok(()),
        _ => Err(Refusal::from_bytes(&bytes)
            .unwrap_or_else(|| failed("copy the targets of links in", target.place, Errno::EINTR))),
    }
}

fn become_payload_user(users: Users) -> sys::Result<()> {
    identity::become_user(users.payload.uid, users.payload.gid)?;
    // A change of the user undoes both settings.
    prctl::clear_dumpable()?;
    prctl::set_pdeathsig(SIGKILL)
}

fn replace_links(dir: Dir, target: &Target<'_>, beside: &Place) -> Result<()> {
    owner::copy_link_targets(dir, &target.path(), beside, &mut || ())
        .map(drop)
        .map_err(|error| Refusal::internal(error.to_string()))
}
