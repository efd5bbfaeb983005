//! Extended attributes of open files and directories (xattr(7)). Neither the standard library nor
//! nix has these calls.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd as _};

use super::{Errno, Result};

/// The longest value, and the longest list of names (XATTR_SIZE_MAX and XATTR_LIST_MAX,
/// linux/limits.h).
pub const SIZE_MAX: usize = 65_536;

/// The names of a file's attributes, each with a NUL at the end; empty if the file system has no
/// attributes.
pub fn list(file: &impl AsFd, names: &mut Vec<u8>) -> Result<()> {
    fill(names, |buffer, room| {
        // SAFETY: the descriptor is open as long as it is borrowed; writes at most `room` bytes to
        // `buffer`, which has that many.
        unsafe { libc::flistxattr(file.as_fd().as_raw_fd(), buffer.cast(), room) }
    })
}

/// The value of one attribute. ENODATA if there is none.
pub fn get(file: &impl AsFd, name: &CStr, value: &mut Vec<u8>) -> Result<()> {
    fill(value, |buffer, room| {
        // SAFETY: as above; `name` ends with a NUL.
        unsafe { libc::fgetxattr(file.as_fd().as_raw_fd(), name.as_ptr(), buffer.cast(), room) }
    })
}

/// The value of one attribute of the file that a path leads to; none if there is none, or if the
/// file system has no attributes. E2BIG or ERANGE if it is longer than the kernel can return.
pub(super) fn get_at(path: &CStr, name: &CStr) -> Result<Option<Vec<u8>>> {
    let mut value = vec![0; SIZE_MAX];
    // SAFETY: both strings end with a NUL; writes at most as many bytes as `value` has.
    let got = unsafe {
        libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len())
    };
    match Errno::result(got) {
        Ok(length) => {
            value.truncate(length.unsigned_abs());
            Ok(Some(value))
        }
        Err(Errno::ENODATA | Errno::ENOTSUP) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Sets one attribute.
pub fn set(file: &impl AsFd, name: &[u8], value: &[u8]) -> Result<()> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the descriptor is open as long as it is borrowed; `name` ends with a NUL; reads the
    // bytes of `value`.
    let status = unsafe {
        libc::fsetxattr(
            file.as_fd().as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    Errno::result(status).map(drop)
}

/// Removes one attribute. No error if there is none, or if the file system has no attributes.
pub fn remove(file: &impl AsFd, name: &CStr) -> Result<()> {
    // SAFETY: the descriptor is open as long as it is borrowed; `name` ends with a NUL.
    match Errno::result(unsafe { libc::fremovexattr(file.as_fd().as_raw_fd(), name.as_ptr()) }) {
        Ok(_) | Err(Errno::ENODATA | Errno::ENOTSUP) => Ok(()),
        Err(cause) => Err(cause),
    }
}

/// Removes the attributes of the user namespace, and both access control lists (acl(5)).
pub fn remove_user_and_acl(file: &impl AsFd) -> Result<()> {
    let mut names = Vec::new();
    list(file, &mut names)?;
    for name in names
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
    {
        let bytes = name.to_bytes();
        if bytes.starts_with(b"user.") || bytes.starts_with(b"system.posix_acl_") {
            remove(file, name)?;
        }
    }
    Ok(())
}

/// Makes a call with a small buffer, and again with one of the maximal size if that is too small.
pub(super) fn fill(buffer: &mut Vec<u8>, call: impl Fn(*mut u8, usize) -> isize) -> Result<()> {
    for room in [1024, SIZE_MAX] {
        buffer.resize(room, 0);
        match Errno::result(call(buffer.as_mut_ptr(), room)) {
            Ok(length) => {
                buffer.truncate(length.unsigned_abs());
                return Ok(());
            }
            Err(Errno::ERANGE) => {}
            // The file system has no attributes; or the list is longer than the kernel can return
            // (xattr(7), BUGS), and cannot be read.
            Err(Errno::ENOTSUP | Errno::E2BIG) => break,
            Err(cause) => return Err(cause),
        }
    }
    buffer.clear();
    Ok(())
}

/// The bits of the owning group's entry of an access control list, as the kernel stores the list: a
/// version (4 bytes), then entries of tag (2 bytes), bits (2 bytes) and id (4 bytes), little-endian
/// (linux/posix_acl_xattr.h).
pub fn group_bits(list: &[u8]) -> Option<u32> {
    const GROUP_OBJ: u16 = 4;
    let entries = list.get(4..)?.chunks_exact(8);
    entries
        .map(|entry| (u16::from_le_bytes([entry[0], entry[1]]), entry[2] & 7))
        .find(|(tag, _)| *tag == GROUP_OBJ)
        .map(|(_, bits)| u32::from(bits))
}
