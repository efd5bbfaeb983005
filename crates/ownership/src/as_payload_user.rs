//! Work with the payload user's rights: in a child of the worker.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use command::refusal::{Refusal, Result};
use sys::fork::{self, Fork};
use sys::signal::SIGKILL;
use sys::{fd, identity, inherited, prctl, process, wait};

use super::users::Users;
use world::restrictions;

/// Does the work in a child that is the payload user, with these descriptors only. Returns its
/// result; none if the child was killed.
pub(super) fn run(
    users: Users,
    keep: &[BorrowedFd<'_>],
    work: impl FnOnce() -> Result<()>,
) -> Result<Option<Result<()>>> {
    let forbidden = |cause| restrictions::forbidden("start a process of the payload's user", cause);
    let (mut answer, mut answer_end) = fd::pipe().map_err(forbidden)?;
    let above = process::getpid();
    let pid = match fork::fork().map_err(forbidden)? {
        Fork::Child => {
            let keep: Vec<_> = keep.iter().copied().chain([answer_end.as_fd()]).collect();
            let done = inherited::release_all_but(&keep)
                .and_then(|()| become_payload_user(users))
                .map_err(forbidden)
                .and_then(|()| work());
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
    Ok(match (read, bytes.first()) {
        (Ok(_), Some(0)) => Some(Ok(())),
        _ => Refusal::from_bytes(&bytes).map(Err),
    })
}

fn become_payload_user(users: Users) -> sys::Result<()> {
    identity::become_user(users.payload.uid, users.payload.gid)?;
    // A change of the user undoes both settings.
    prctl::clear_dumpable()?;
    prctl::set_pdeathsig(SIGKILL)
}
