//! The entries of a directory (getdents64(2)). nix's own reader allocates for each directory, and
//! copies each name.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, AsRawFd as _};

use super::{Dir, Errno, Kind, Name, Result};

impl Dir {
    /// Calls `visit` for each entry except `.` and `..`, in the order of the file system, with the
    /// kind if the file system reports it. The entries are not collected, so a directory may have
    /// any number of them.
    ///
    /// Not to be called by `visit`: it moves the position of the open directory. An error of
    /// `visit` ends it, and is the inner result.
    pub fn for_each_entry<E>(
        &self,
        mut visit: impl FnMut(Name<'_>, Option<Kind>) -> std::result::Result<(), E>,
    ) -> Result<std::result::Result<(), E>> {
        self.for_each_inode(|name, kind, _| visit(name, kind))
    }

    /// As [`Dir::for_each_entry`], with the number of the inode. It is only a hint: that of stat(2)
    /// can differ, as on an overlay, or where the entry is a mount point.
    pub fn for_each_inode<E>(
        &self,
        mut visit: impl FnMut(Name<'_>, Option<Kind>, u64) -> std::result::Result<(), E>,
    ) -> Result<std::result::Result<(), E>> {
        nix::unistd::lseek(self, 0, nix::unistd::Whence::SeekSet)?;
        let mut room = [0; 32 * 1024];
        loop {
            // SAFETY: the descriptor is open as long as it is borrowed; writes at most the length
            // of `room` to it.
            let status = unsafe {
                libc::syscall(
                    libc::SYS_getdents64,
                    self.as_fd().as_raw_fd(),
                    room.as_mut_ptr(),
                    room.len(),
                )
            };
            let mut entries = &room[..Errno::result(status)?.unsigned_abs() as usize];
            if entries.is_empty() {
                return Ok(Ok(()));
            }
            // A record of getdents64(2): inode and position (8 bytes each), length of the record
            // (2), kind (1), the name and a NUL, and padding.
            while let Some(header) = entries.first_chunk::<19>() {
                let length = usize::from(u16::from_ne_bytes([header[16], header[17]]));
                let (entry, rest) = entries.split_at_checked(length).ok_or(Errno::EIO)?;
                let name = entry
                    .get(19..)
                    .and_then(|name| CStr::from_bytes_until_nul(name).ok())
                    .ok_or(Errno::EIO)?;
                if let Some(name) = Name::new(name.to_bytes()) {
                    let inode = entry.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
                    if let Err(error) = visit(name, kind_of(header[18]), inode) {
                        return Ok(Err(error));
                    }
                }
                entries = rest;
            }
        }
    }
}

/// The kind that a directory entry has; none if the file system does not report it.
fn kind_of(entry: u8) -> Option<Kind> {
    match entry {
        libc::DT_UNKNOWN => None,
        libc::DT_REG => Some(Kind::File),
        libc::DT_DIR => Some(Kind::Directory),
        libc::DT_LNK => Some(Kind::Symlink),
        _ => Some(Kind::Special),
    }
}
