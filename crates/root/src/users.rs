//! Lists of users in the configuration: who may call, and who may use a proxy without its key.

use std::ffi::OsString;

use sys::Uid;

/// A list of users, as `user_white_list` has it. Root is in the list only if an entry names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserList(Vec<UserEntry>);

/// An entry of a list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserEntry {
    /// The account with this name.
    Name(OsString),
    /// `.prefix`: the accounts of a pool, whose names are the prefix and digits.
    Pool(OsString),
    /// The account with this user id.
    Uid(Uid),
}
