//! The two users of a change of owner.

use command::refusal::{Refusal, Result};
use sys::{Gid, Owner, Uid};
use tree::owner::Job;

/// The two users as this process's namespace shows them.
#[derive(Clone, Copy)]
pub(super) struct Users {
    /// The caller, who is root here.
    pub(super) caller: Owner,
    /// The payload's user.
    pub(super) payload: Owner,
    /// Both of them, for the changes of owner.
    pub(super) ids: tree::owner::Ids,
    /// Whether the payload's user may have processes meanwhile.
    pub(super) job: Job,
}

impl Users {
    /// The users in the namespace of a lease, which this process is in: the caller is its root, and
    /// the payload's user has no process but those of this call.
    pub(super) fn here(payload: Owner) -> Result<Users> {
        let caller = Owner { uid: Uid::from_raw(0), gid: Gid::from_raw(0) };
        Users::of(caller, payload, Job::Ended)
    }

    /// The users as this process's namespace shows them, which must map exactly their ids.
    pub(super) fn of(caller: Owner, payload: Owner, job: Job) -> Result<Users> {
        let ids = tree::owner::Ids::new(caller, payload)
            .map_err(|error| Refusal::internal(error.to_string()))?;
        Ok(Users { caller, payload, ids, job })
    }
}
