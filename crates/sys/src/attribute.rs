//! Extended attributes of open files and directories (xattr(7)).

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd as _};

use super::{Errno, Result};

/// The list of names of an open file's attributes, each ended by a NUL; empty where the file system
/// has none.
pub fn list(file: &impl AsFd, names: &mut Vec<u8>) -> Result<()> {
    fill(names, |buffer, room| {
        // SAFETY: writes at most `room` bytes to `buffer`, which has that many.
        unsafe { libc::flistxattr(file.as_fd().as_raw_fd(), buffer.cast(), room) }
    })
}

/// The value of one attribute. ENODATA if it is not there.
pub fn get(file: &impl AsFd, name: &CStr, value: &mut Vec<u8>) -> Result<()> {
    fill(value, |buffer, room| {
        // SAFETY: `name` ends with a NUL; writes at most `room` bytes to `buffer`, which has that
        // many.
        unsafe { libc::fgetxattr(file.as_fd().as_raw_fd(), name.as_ptr(), buffer.cast(), room) }
    })
}

/// Sets one attribute.
pub fn set(file: &impl AsFd, name: &[u8], value: &[u8]) -> Result<()> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    // SAFETY: `name` ends with a NUL; reads exactly the bytes of `value`.
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

/// Removes one attribute; it need not be there, nor need the file system know of attributes.
pub fn remove(file: &impl AsFd, name: &CStr) -> Result<()> {
    // SAFETY: `name` ends with a NUL.
    match Errno::result(unsafe { libc::fremovexattr(file.as_fd().as_raw_fd(), name.as_ptr()) }) {
        Ok(_) | Err(Errno::ENODATA | Errno::ENOTSUP) => Ok(()),
        Err(cause) => Err(cause),
    }
}

/// Removes what a new directory would not have: the user's attributes and both access control
/// lists.
pub fn strip(file: &impl AsFd) -> Result<()> {
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

/// The kernel's largest list and largest value (XATTR_LIST_MAX and XATTR_SIZE_MAX, limits.h of
/// Linux).
pub const LARGEST: usize = 65_536;

/// Calls with what room the buffer has, and once more with the largest that the kernel can need.
fn fill(buffer: &mut Vec<u8>, call: impl Fn(*mut u8, usize) -> isize) -> Result<()> {
    for room in [1024, LARGEST] {
        buffer.resize(room, 0);
        match Errno::result(call(buffer.as_mut_ptr(), room)) {
            Ok(length) => {
                buffer.truncate(length.unsigned_abs());
                return Ok(());
            }
            Err(Errno::ERANGE) => {}
            // None here; or more than the kernel itself can list (xattr(7), BUGS): they can't be
            // read at all.
            Err(Errno::ENOTSUP | Errno::E2BIG) => break,
            Err(cause) => return Err(cause),
        }
    }
    buffer.clear();
    Ok(())
}
