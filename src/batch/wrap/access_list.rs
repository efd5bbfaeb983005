//! An access control list that gives one more user rights to a file, and its end. The list keeps
//! the file's former mode: its owner's, its group's and the others' bits.
//!
//! A list as the kernel stores it is a version (4 bytes), then entries of tag (2 bytes), bits
//! (2 bytes) and id (4 bytes), little-endian, in the order of their tags
//! (linux/posix_acl_xattr.h).

use std::ffi::CStr;
use std::fs::File;

use sys::{Errno, Uid, file, xattr};

/// The attribute that is the list.
const NAME: &CStr = c"system.posix_acl_access";

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The id of an entry that is for no certain user or group.
const NO_ID: u32 = u32::MAX;

/// Gives a user these rights (r is 4, w is 2) to a file of this process's user. EEXIST if the file
/// has a list.
pub fn allow(file: &File, user: Uid, bits: u16) -> sys::Result<()> {
    let mut list = Vec::new();
    match xattr::get(file, NAME, &mut list) {
        Ok(()) if list.is_empty() => {}
        Err(Errno::ENODATA) => {}
        Ok(()) => return Err(Errno::EEXIST),
        Err(cause) => return Err(cause),
    }
    let mode = file::stat(file)?.mode();
    let of_mode = |shift: u32| u16::try_from(mode >> shift & 7).unwrap_or_default();
    let entries = [
        (USER_OBJ, of_mode(6), NO_ID),
        (USER, bits, user.as_raw()),
        (GROUP_OBJ, of_mode(3), NO_ID),
        // What the group and this user can have: the group's own entry is not changed by it.
        (MASK, of_mode(3) | bits, NO_ID),
        (OTHER, of_mode(0), NO_ID),
    ];
    xattr::set(file, NAME.to_bytes(), &encoded(&entries))
}

/// Ends what [`allow`] has given this user. Nothing is changed if the file has no list, or another
/// one.
pub fn end(file: &File, user: Uid) -> sys::Result<()> {
    let mut list = Vec::new();
    match xattr::get(file, NAME, &mut list) {
        Err(Errno::ENODATA) => return Ok(()),
        got => got?,
    }
    let ours = |entries: &[(u16, u16, u32)]| match entries {
        [owner, (USER, _, id), group, (MASK, ..), others] if *id == user.as_raw() => {
            Some([*owner, *group, *others])
        }
        _ => None,
    };
    match decoded(&list).as_deref().and_then(ours) {
        // A list of these three is the mode, and no list any more.
        Some(entries) => xattr::set(file, NAME.to_bytes(), &encoded(&entries)),
        None => Ok(()),
    }
}

fn encoded(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut list = VERSION.to_le_bytes().to_vec();
    for (tag, bits, id) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&bits.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    list
}

fn decoded(list: &[u8]) -> Option<Vec<(u16, u16, u32)>> {
    let entries = list.strip_prefix(&VERSION.to_le_bytes())?.chunks_exact(8);
    let entry = |bytes: &[u8]| {
        let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        (number(0), number(2), u32::from(number(4)) | u32::from(number(6)) << 16)
    };
    entries.remainder().is_empty().then(|| entries.map(entry).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_has_its_mode_again_and_no_list() -> anyhow::Result<()> {
        let user = Uid::from_raw(4_000_000_000);
        for mode in [0o600, 0o640, 0o644, 0o400, 0o664] {
            let file = tempfile::tempfile()?;
            file.set_permissions(std::fs::Permissions::from_mode(mode))?;
            allow(&file, user, 6)?;
            assert_eq!(allow(&file, user, 6), Err(Errno::EEXIST));
            end(&file, Uid::from_raw(7))?;
            let mut list = Vec::new();
            xattr::get(&file, NAME, &mut list)?;
            assert!(list.len() > 4, "another user's stays");
            end(&file, user)?;
            assert_eq!(file.metadata()?.permissions().mode() & 0o7777, mode);
            assert_eq!(xattr::get(&file, NAME, &mut list), Err(Errno::ENODATA));
            end(&file, user)?;
        }
        Ok(())
    }
}
