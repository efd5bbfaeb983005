//! Accounts for the tests of this crate.

use command::accounts::Account;
use sys::{Gid, Uid};

/// A local account whose user and group id are the same.
pub(crate) fn account(name: &str, id: u32) -> Account {
    Account {
        name: name.into(),
        user: Uid::from_raw(id),
        group: Gid::from_raw(id),
        home: "/home".into(),
        shell: "/bin/sh".into(),
        is_local: true,
    }
}
