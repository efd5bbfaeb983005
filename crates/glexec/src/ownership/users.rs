//! The two users of a change of owner.

use command::refusal::{Refusal, Result};
use sys::{Gid, Owner, Uid};

use crate::ranges::Ids;

/// The two users as this process's namespace shows them.
#[derive(Clone, Copy)]
pub(super) struct Users {
    /// The caller, who is root here.
    pub(super) caller: Owner,
    /// The payload's user.
    pub(super) payload: Owner,
    /// Both of them, for the changes of owner.
    pub(super) ids: tree::owner::Ids,
}

impl Users {
    /// The users in this process's namespace, which must map exactly their ids.
    pub(super) fn here(ids: Ids) -> Result<Users> {
        let caller = Owner { uid: Uid::from_raw(0), gid: Gid::from_raw(0) };
        let payload = Owner { uid: ids.user, gid: ids.group };
        let ids = tree::owner::Ids::new(caller, payload)
            .map_err(|error| Refusal::internal(error.to_string()))?;
        Ok(Users { caller, payload, ids })
    }
}
