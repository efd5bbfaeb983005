//! The other descriptors that a process has from its parent: through execve(2), or as a copy of the
//! parent (fork(2)).
//!
//! Descriptors that came through execve(2) are not close-on-exec, or they would have been closed.
//! The standard library and this crate make every other one above 2 close-on-exec. So a descriptor
//! above 2 that is not close-on-exec has no owner in this process, and can be closed.
//!
//! The functions that close or redirect descriptors fail with EBUSY if this process has another
//! thread: that one could close such a descriptor first, and then open another one, which has an
//! owner, with the same number.

use std::fs::File;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, RawFd};

use super::process::require_one_thread;
use super::{Errno, Result, stdio};

/// Makes every descriptor above 2 close-on-exec.
pub fn set_cloexec_above_2() -> Result<()> {
    // SAFETY: the call takes numbers; with this flag it closes no descriptor.
    let status = unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    match Errno::result(status) {
        Ok(_) => Ok(()),
        // Before Linux 5.11, or under a seccomp filter that does not know the call.
        Err(Errno::ENOSYS | Errno::EINVAL | Errno::EPERM) => {
            for number in above_2()? {
                // SAFETY: sets the flag; a number that is not open gives EBADF.
                unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
            }
            Ok(())
        }
        Err(cause) => Err(cause),
    }
}

/// The descriptor with this number, which came through execve(2): from now on it has an owner.
/// EBADF if there is no such descriptor above 2.
pub fn adopt(number: RawFd) -> Result<File> {
    require_one_thread()?;
    if number <= 2 || has_owner(number) != Some(false) {
        return Err(Errno::EBADF);
    }
    // SAFETY: sets the flag of an open descriptor.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: the descriptor is open, and it had no owner.
    Ok(unsafe { File::from_raw_fd(number) })
}

/// Closes every descriptor above 2 that came through execve(2).
pub fn close_inherited() -> Result<()> {
    require_one_thread()?;
    above_2()?.into_iter().filter(|number| has_owner(*number) == Some(false)).for_each(close);
    Ok(())
}

/// For a child of fork(2): closes every descriptor above 2 that came through execve(2), and
/// redirects all others but `keep` to the null device. The child's copies of the values that own
/// these stay valid, but keep no file of the parent's open.
pub fn release_all_but(keep: &[BorrowedFd<'_>]) -> Result<()> {
    require_one_thread()?;
    let null = stdio::null()?;
    let mut kept = vec![null.as_raw_fd()];
    kept.extend(keep.iter().map(|fd| fd.as_raw_fd()));
    for number in above_2()?.into_iter().filter(|number| !kept.contains(number)) {
        match has_owner(number) {
            // The descriptor that the list was read from.
            None => {}
            Some(false) => close(number),
            Some(true) => {
                // SAFETY: the number is open, and stays open for its owner; `null` is open during
                // the call.
                let replaced = unsafe { libc::dup3(null.as_raw_fd(), number, libc::O_CLOEXEC) };
                Errno::result(replaced)?;
            }
        }
    }
    Ok(())
}

/// The descriptors above 2.
fn above_2() -> Result<Vec<RawFd>> {
    let listing = std::fs::read_dir("/proc/self/fd").map_err(|error| super::errno(&error))?;
    let numbers = listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.filter(|number| *number > 2).collect())
}

/// Whether a descriptor has an owner in this process: it is close-on-exec. None if it is not open.
fn has_owner(number: RawFd) -> Option<bool> {
    // SAFETY: reads the flags of the descriptor; a number that is not open gives EBADF.
    let flags = Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) }).ok()?;
    Some(flags & libc::FD_CLOEXEC != 0)
}

fn close(number: RawFd) {
    // SAFETY: called for open descriptors without an owner, while there is no other thread.
    unsafe { libc::close(number) };
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::{Errno, above_2, close_inherited, has_owner, release_all_but};
    use crate::fd;

    #[test]
    fn what_the_standard_library_and_this_crate_open_has_an_owner() {
        let (reader, writer) = fd::pipe().unwrap_or_else(|error| panic!("{error}"));
        let open = above_2().unwrap_or_default();
        for end in [&reader, &writer] {
            assert!(open.contains(&end.as_raw_fd()));
            assert_eq!(has_owner(end.as_raw_fd()), Some(true));
        }
    }

    #[test]
    fn a_descriptor_with_an_owner_is_not_adopted() {
        let (reader, _writer) = fd::pipe().unwrap_or_else(|error| panic!("{error}"));
        for number in [reader.as_raw_fd(), 0, 2, -1, 12345] {
            let error = super::adopt(number).err();
            assert!(matches!(error, Some(Errno::EBADF | Errno::EBUSY)), "{number}: {error:?}");
        }
    }

    #[test]
    fn nothing_is_closed_while_there_is_another_thread() {
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| barrier.wait());
            assert_eq!(
                (close_inherited(), release_all_but(&[])),
                (Err(Errno::EBUSY), Err(Errno::EBUSY))
            );
            barrier.wait();
        });
    }
}
