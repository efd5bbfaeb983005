//! Namespaces, and becoming the user of one (namespaces(7), user_namespaces(7)).

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use nix::sched::CloneFlags;

use super::{Errno, Gid, Pid, Result, Uid};

/// Which of the two processes goes on here.
#[derive(Debug)]
pub enum Fork {
    /// The child.
    Child,
    /// The parent, with the child's number.
    Parent(Pid),
}

/// Goes on in a child, too, which begins with the same memory. To be called by a process with one
/// thread.
pub fn fork() -> Result<Fork> {
    clone(CloneFlags::empty())
}

/// As [`fork`]; the child is the first process of a new pid namespace, in a new mount namespace,
/// both of a new user namespace that belongs to this process's user. It has every capability in
/// there.
pub fn fork_into_new() -> Result<Fork> {
    clone(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS)
}

/// As [`fork`]; the child is in a new user namespace alone, with every capability in there.
pub fn fork_into_new_user_namespace() -> Result<Fork> {
    clone(CloneFlags::CLONE_NEWUSER)
}

fn clone(flags: CloneFlags) -> Result<Fork> {
    let flags = flags.bits() as libc::c_ulong | libc::SIGCHLD as libc::c_ulong;
    // SAFETY: without a stack of its own the child goes on as after fork(2); by contract there is
    // no other thread, whose locks it would find taken for ever. The other arguments are not
    // looked at with these flags.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    match i32::try_from(pid) {
        Ok(0) => Ok(Fork::Child),
        Ok(pid) => Ok(Fork::Parent(Pid::from_raw(pid))),
        Err(_) => Err(Errno::EOVERFLOW),
    }
}

/// The user namespace that a process holds open, or else the one that it is in. It takes the rights
/// to trace the process.
pub fn held_by(pid: Pid) -> Option<OwnedFd> {
    let is_namespace = |path: &std::path::Path| {
        std::fs::read_link(path)
            .is_ok_and(|link| link.as_os_str().as_encoded_bytes().starts_with(b"user:["))
    };
    let open =
        std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten().map(|entry| entry.path());
    match open.into_iter().find(|path| is_namespace(path)) {
        Some(path) => open_namespace(&path).ok(),
        None => user_namespace_of(pid).ok(),
    }
}

/// The user namespace of a process, to be joined. It takes the rights of the namespace's owner.
pub fn user_namespace_of(pid: Pid) -> Result<OwnedFd> {
    open_namespace(format!("/proc/{pid}/ns/user").as_ref())
}

fn open_namespace(path: &std::path::Path) -> Result<OwnedFd> {
    let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())
}

/// The user who owns a user namespace: the one who made it (ioctl_ns(2)).
pub fn owner_of(namespace: &impl AsFd) -> Result<Uid> {
    const NS_GET_OWNER_UID: libc::c_ulong = 0xb704; // linux/nsfs.h
    let mut owner: libc::uid_t = 0;
    // SAFETY: writes one number.
    Errno::result(unsafe {
        libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_OWNER_UID as _, &raw mut owner)
    })?;
    Ok(Uid::from_raw(owner))
}

/// Joins a user namespace, with every capability in it.
pub fn join_user_namespace(namespace: &impl AsFd) -> Result<()> {
    nix::sched::setns(namespace, CloneFlags::CLONE_NEWUSER)
}

/// Mounts what shows the processes of this pid namespace, over what shows those of the one above.
pub fn mount_proc() -> Result<()> {
    let flags = nix::mount::MsFlags::MS_NOSUID
        | nix::mount::MsFlags::MS_NODEV
        | nix::mount::MsFlags::MS_NOEXEC;
    nix::mount::mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
}

/// Becomes a user, with one group and no others, for good; and proves it: EPERM if there is a way
/// back.
pub fn become_user(user: Uid, group: Gid) -> Result<()> {
    nix::unistd::setgroups(&[])?;
    nix::unistd::setresgid(group, group, group)?;
    nix::unistd::setresuid(user, user, user)?;
    let (users, groups) = (nix::unistd::getresuid()?, nix::unistd::getresgid()?);
    let all = [users.real, users.effective, users.saved].iter().all(|id| *id == user)
        && [groups.real, groups.effective, groups.saved].iter().all(|id| *id == group);
    let back = !user.is_root()
        && (nix::unistd::setuid(Uid::from_raw(0)).is_ok()
            || nix::unistd::setgid(Gid::from_raw(0)).is_ok());
    if all && !back && nix::unistd::getgroups()?.is_empty() { Ok(()) } else { Err(Errno::EPERM) }
}

/// Whether this process can gain no privilege by executing a program, as newuidmap(1) and sudo(8)
/// must.
pub fn is_without_new_privileges() -> bool {
    nix::sys::prctl::get_no_new_privs() == Ok(true)
}

/// Lets neither this process nor what it executes gain any privilege.
pub fn renounce_new_privileges() -> Result<()> {
    nix::sys::prctl::set_no_new_privs()
}

/// Adopts what descends from this process and loses its parent.
pub fn adopt_orphans() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
}

/// This process gets a signal when its parent ends. To be called once it is the user that it stays.
pub fn die_with_parent(signal: i32) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::try_from(signal)?)
}
