//! Which attributes of a file or directory come across.

use std::ffi::CStr;

/// Attributes that every file gets from the system, where it has them at all: they are not sent and
/// not counted as dropped.
const EVERYWHERE: [&CStr; 2] = [c"security.selinux", c"system.nfs4_acl"];

/// The access control list that decides who may open a file.
pub(crate) const ACCESS_LIST: &CStr = c"system.posix_acl_access";

/// Whether an attribute is the user's: it comes across.
pub(crate) fn is_users(name: &CStr) -> bool {
    name.to_bytes().starts_with(b"user.")
}

/// Whether an attribute is lost when the file is copied.
pub(crate) fn is_dropped(name: &CStr) -> bool {
    !is_users(name) && !EVERYWHERE.contains(&name)
}

/// Those of the user, in a list of attributes ([`sys::xattr::list`]).
pub fn user_attributes(list: &[u8]) -> impl Iterator<Item = &CStr> {
    names(list).filter(|name| is_users(name))
}

/// Whether a list of attributes has any that not every file gets from the system.
pub fn has_attributes(list: &[u8]) -> bool {
    names(list).any(|name| !EVERYWHERE.contains(&name))
}

/// The nine mode bits that come across. `group` is the owning group's bits in the access control
/// list, if there is one: then the group's bits of the mode are the list's mask, and the group gets
/// what both allow.
pub(crate) fn mode(mode: u32, group: Option<u32>) -> u32 {
    mode & 0o777 & group.map_or(0o777, |bits| 0o707 | bits << 3)
}

/// The names in a list of attributes, each ended by a NUL.
pub(crate) fn names(list: &[u8]) -> impl Iterator<Item = &CStr> {
    list.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok())
}
