//! POSIX access control lists as the kernel stores them: a version (4 bytes), then entries of tag
//! (2 bytes), bits (2 bytes) and id (4 bytes), little-endian (linux/posix_acl_xattr.h).

use sys::{Gid, Uid};

/// To whom an entry gives the right to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// To a user.
    User(Uid),
    /// To the members of a group.
    Group(Gid),
    /// To the members of the file's own group.
    OwningGroup,
}

const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const WRITE: u16 = 2;

/// The users and groups to which a list gives the right to write, as far as its mask allows; the
/// owner and the other users are in the mode. None if the list cannot be understood.
///
/// The mask needs no look: it is the group's part of the mode while a file has a list (acl(5)), and
/// a caller that finds no right to write there does not read the list.
pub(crate) fn writers(list: &[u8]) -> Option<Vec<Writer>> {
    let entries = list.strip_prefix(&2_u32.to_le_bytes())?.chunks_exact(8);
    if !entries.remainder().is_empty() {
        return None;
    }
    let writer = |entry: &[u8]| {
        let number = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        let id = u32::from(number(4)) | u32::from(number(6)) << 16;
        match (number(0), number(2) & WRITE != 0) {
            (USER, true) => Some(Writer::User(Uid::from_raw(id))),
            (GROUP, true) => Some(Writer::Group(Gid::from_raw(id))),
            (GROUP_OBJ, true) => Some(Writer::OwningGroup),
            _ => None,
        }
    };
    Some(entries.filter_map(writer).collect())
}

#[cfg(test)]
mod tests {
    use super::{Gid, Uid, Writer, writers};

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, bits, id) in entries {
            list.extend_from_slice(&tag.to_le_bytes());
            list.extend_from_slice(&bits.to_le_bytes());
            list.extend_from_slice(&id.to_le_bytes());
        }
        list
    }

    #[test]
    fn an_entry_counts_if_it_gives_the_right_to_write() {
        let none = u32::MAX;
        let found = writers(&list(&[
            (0x01, 7, none),
            (0x02, 6, 70_000),
            (0x02, 5, 1001),
            (0x04, 7, none),
            (0x08, 2, 44),
            (0x08, 4, 45),
            (0x10, 7, none),
            (0x20, 5, none),
        ]));
        let expected = [
            Writer::User(Uid::from_raw(70_000)),
            Writer::OwningGroup,
            Writer::Group(Gid::from_raw(44)),
        ];
        assert_eq!(found.as_deref(), Some(&expected[..]));
    }

    #[test]
    fn a_list_of_another_version_or_length_is_not_understood() {
        assert_eq!(writers(b""), None);
        assert_eq!(writers(&3_u32.to_le_bytes()), None);
        assert_eq!(writers(&list(&[(0x02, 6, 1)])[..11]), None);
    }
}
