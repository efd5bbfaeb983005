//! Files and directories opened by O_PATH (open(2)): the descriptor names a file, without the right
//! to read it. So the file can be examined before anything is opened.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::{FchmodatFlags, Mode};

use super::{Dir, Errno, Gid, Name, Result, Stat, Uid, fd, xattr};

/// A file or directory, or the symbolic link itself.
#[derive(Debug)]
pub struct OPath(OwnedFd);

const FLAGS: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl OPath {
    /// The root directory of this process.
    pub fn root() -> Result<OPath> {
        nix::fcntl::open("/", FLAGS, Mode::empty()).map(OPath)
    }

    /// The working directory of this process, also one that it may not read.
    pub fn working_directory() -> Result<OPath> {
        nix::fcntl::open(".", FLAGS | OFlag::O_DIRECTORY, Mode::empty()).map(OPath)
    }

    /// An entry of this directory; a symbolic link is not followed, a mount point is crossed.
    pub fn entry(&self, name: Name<'_>) -> Result<OPath> {
        nix::fcntl::openat(&self.0, name.os(), FLAGS, Mode::empty()).map(OPath)
    }

    /// As [`OPath::entry`], of a directory, which is mounted if it is an automount point. ENOTDIR
    /// for anything else, also for a symbolic link.
    pub fn directory(&self, name: Name<'_>) -> Result<OPath> {
        nix::fcntl::openat(&self.0, name.os(), FLAGS | OFlag::O_DIRECTORY, Mode::empty()).map(OPath)
    }

    /// The metadata.
    pub fn stat(&self) -> Result<Stat> {
        nix::sys::stat::fstat(&self.0).map(Stat::from)
    }

    /// The access control list (acl(5)), as the kernel stores it; none if there is none, or if the
    /// file system has none. Needs /proc.
    pub fn access_list(&self) -> Result<Option<Vec<u8>>> {
        let path = CString::new(fd::proc_path(self.0.as_fd())).map_err(|_| Errno::EINVAL)?;
        xattr::get_at(&path, c"system.posix_acl_access")
    }

    /// Opens this very file to read, whatever its names are now. It does not wait for the other end
    /// of a FIFO. Needs /proc.
    pub fn open(&self) -> Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let path = fd::proc_path(self.0.as_fd());
        nix::fcntl::open(path.as_str(), flags, Mode::empty()).map(File::from)
    }

    /// As [`OPath::open`], of a directory.
    pub fn open_directory(&self) -> Result<Dir> {
        Dir::open(Path::new(&fd::proc_path(self.0.as_fd())))
    }

    /// Makes a directory here with this mode, without the bits of the umask.
    pub fn make_dir(&self, name: Name<'_>, mode: u32) -> Result<()> {
        nix::sys::stat::mkdirat(&self.0, name.os(), Mode::from_bits_truncate(mode))
    }

    /// Sets the owner and the group, and then the mode. Needs /proc.
    pub fn set_owner_and_mode(&self, uid: Uid, gid: Gid, mode: u32) -> Result<()> {
        let path = fd::proc_path(self.0.as_fd());
        nix::unistd::chown(path.as_str(), Some(uid), Some(gid))?;
        let mode = Mode::from_bits_truncate(mode);
        let flag = FchmodatFlags::FollowSymlink;
        nix::sys::stat::fchmodat(AT_FDCWD, path.as_str(), mode, flag)
    }

    /// Makes a regular file here with this content, with mode 0644 without the bits of the umask.
    pub fn make_file(&self, name: Name<'_>, content: &[u8]) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o644);
        let made = nix::fcntl::openat(&self.0, name.os(), flags, mode)?;
        File::from(made).write_all(content).map_err(|error| super::errno(&error))
    }

    /// Makes a symbolic link here with this target.
    pub fn make_symlink(&self, name: Name<'_>, target: &[u8]) -> Result<()> {
        nix::unistd::symlinkat(target, &self.0, name.os())
    }

    /// The target, if it is a symbolic link.
    pub fn read_link(&self) -> Result<Vec<u8>> {
        nix::fcntl::readlinkat(&self.0, c"").map(OsString::into_vec)
    }

    /// Duplicates the descriptor.
    pub fn try_clone(&self) -> Result<OPath> {
        self.0.try_clone().map(OPath).map_err(|error| super::errno(&error))
    }
}

impl AsFd for OPath {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for OPath {
    fn from(fd: OwnedFd) -> OPath {
        OPath(fd)
    }
}
