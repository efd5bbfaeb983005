//! The mounts of this process's mount namespace (mount_namespaces(7)): parts of the tree as
//! detached copies, by descriptor (open_tree(2), move_mount(2), mount_setattr(2)). Linux 5.12 or
//! newer.
//!
//! A process must have a mount namespace of its own ([`super::namespace::unshare`]) before it uses
//! these functions, or it changes the mounts of others.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::mount::{MntFlags, MsFlags};

use super::{Errno, OPath, Result, fd};

/// What a mount does not allow, for [`Tree::restrict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// Set-user-ID and set-group-ID programs, and file capabilities.
    NoSetId,
    /// The same, and any change.
    ReadOnly,
}

/// A file system that can be made without a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewFileSystem {
    /// Files in memory (tmpfs(5)).
    Memory,
    /// Terminals of its own (devpts).
    Terminals,
    /// The POSIX message queues of this IPC namespace (mq_overview(7)).
    MessageQueues,
    /// The processes of this pid namespace (proc(5)).
    Processes,
}

/// The structure of mount_setattr(2), linux/mount.h.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const OPEN_TREE_CLOEXEC: libc::c_uint = libc::O_CLOEXEC as libc::c_uint;
const AT_EMPTY_PATH: libc::c_uint = libc::AT_EMPTY_PATH as libc::c_uint;
const AT_RECURSIVE: libc::c_uint = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;

/// A copy of a mounted directory or file, with the mounts below it, which is at no place until it
/// is attached.
#[derive(Debug)]
pub struct Tree(OwnedFd);

impl Tree {
    /// A copy of what is mounted at a file or directory, and below that.
    pub fn of(file: &impl AsFd) -> Result<Tree> {
        let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE;
        // SAFETY: the descriptor is open as long as it is borrowed; the path is a constant string.
        let opened = unsafe {
            libc::syscall(libc::SYS_open_tree, number(file.as_fd()), c"".as_ptr(), flags)
        };
        let opened = i32::try_from(Errno::result(opened)?).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel has just made this descriptor, and no other value owns it.
        Ok(Tree(unsafe { OwnedFd::from_raw_fd(opened) }))
    }

    /// Attaches it above a file or directory, which it covers.
    pub fn attach(&self, point: &impl AsFd) -> Result<()> {
        // SAFETY: both descriptors are open as long as they are borrowed; the paths are constants.
        let moved = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                number(self.0.as_fd()),
                c"".as_ptr(),
                number(point.as_fd()),
                c"".as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
            )
        };
        Errno::result(moved).map(drop)
    }

    /// Restricts its mounts, all of them.
    pub fn restrict(&self, restriction: Restriction) -> Result<()> {
        set(self, restriction, AT_RECURSIVE)
    }

    /// Makes its topmost mount read-only, and not what is mounted below that.
    pub fn seal(&self) -> Result<()> {
        set(self, Restriction::ReadOnly, 0)
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Restricts the mount that has this file as its root, and all mounts below it.
pub fn restrict_below(top: &impl AsFd, restriction: Restriction) -> Result<()> {
    set(top, restriction, AT_RECURSIVE)
}

fn set(top: &impl AsFd, restriction: Restriction, how: libc::c_uint) -> Result<()> {
    let set = match restriction {
        Restriction::NoSetId => MOUNT_ATTR_NOSUID,
        Restriction::ReadOnly => MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY,
    };
    let attributes = Attributes { set, clear: 0, propagation: 0, user_namespace: 0 };
    // SAFETY: the descriptor is open as long as it is borrowed; the structure lives during the
    // call, and its length is passed.
    let status = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            number(top.as_fd()),
            c"".as_ptr(),
            AT_EMPTY_PATH | how,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    Errno::result(status).map(drop)
}

/// Separates all mounts of this namespace from those of others: what is mounted on one side does
/// not appear on the other (MS_PRIVATE).
pub fn separate() -> Result<()> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
}

/// Mounts a new file system above a directory, with these options (mount(2)). It has no devices and
/// no set-user-ID programs. Needs /proc.
pub fn mount_new(kind: NewFileSystem, point: &OPath, options: &str) -> Result<()> {
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let name = match kind {
        NewFileSystem::Memory => "tmpfs",
        NewFileSystem::Terminals => {
            flags.remove(MsFlags::MS_NODEV);
            "devpts"
        }
        NewFileSystem::MessageQueues => "mqueue",
        NewFileSystem::Processes => "proc",
    };
    if kind != NewFileSystem::Memory {
        flags |= MsFlags::MS_NOEXEC;
    }
    let path = fd::proc_path(point.as_fd());
    let options = Some(options).filter(|options| !options.is_empty());
    nix::mount::mount(Some(name), path.as_str(), Some(name), flags, options)
}

/// Whether a file is in a proc file system (proc(5)), by statfs(2).
pub fn is_proc(file: &impl AsFd) -> Result<bool> {
    let found = nix::sys::statfs::fstatfs(file)?;
    Ok(found.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC)
}

/// Makes a mounted directory the root of this process, and removes all mounts of the old root from
/// this namespace (pivot_root(2)). The working directory becomes the new root.
pub fn pivot(root: &impl AsFd) -> Result<()> {
    nix::unistd::fchdir(root)?;
    // The old root comes above the new one, and is removed there: no directory is needed for it.
    nix::unistd::pivot_root(".", ".")?;
    nix::mount::umount2(".", MntFlags::MNT_DETACH)?;
    nix::unistd::chdir("/")
}

/// Whether links are followed on the way to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// They are, and absolute ones start at the directory that the path is looked up in.
    Followed,
    /// ELOOP if there is one.
    Refused,
}

/// Opens the file or directory at a path below a directory, which counts as the root: `..` does not
/// lead out of it (RESOLVE_IN_ROOT, openat2(2)).
pub fn open_in(root: &OPath, path: &std::path::Path, links: Links) -> Result<OPath> {
    let mut resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    resolve.set(ResolveFlag::RESOLVE_NO_SYMLINKS, links == Links::Refused);
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
    // EAGAIN: any file was renamed while `..` was resolved.
    let mut tries = 100;
    loop {
        match nix::fcntl::openat2(root, path, how) {
            Err(Errno::EAGAIN) if tries > 0 => tries -= 1,
            opened => return opened.map(OPath::from),
        }
    }
}

/// A descriptor as the kernel takes it, in the width of a register.
fn number(fd: BorrowedFd<'_>) -> libc::c_long {
    libc::c_long::from(fd.as_raw_fd())
}
