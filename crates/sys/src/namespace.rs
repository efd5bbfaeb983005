//! User namespaces (user_namespaces(7)), and what a new pid namespace needs.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;

use super::{Errno, Owner, Pid, Result, Uid};

/// A user namespace that a process has open, or else the one that it is in. The caller must be
/// allowed to trace the process (ptrace(2)).
pub fn user_namespace_held_by(pid: Pid) -> Option<OwnedFd> {
    let is_namespace = |path: &Path| {
        std::fs::read_link(path)
            .is_ok_and(|link| link.as_os_str().as_encoded_bytes().starts_with(b"user:["))
    };
    let listing = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let mut open = listing.flatten().map(|entry| entry.path());
    match open.find(|path| is_namespace(path)) {
        Some(path) => open_namespace(&path).ok(),
        None => user_namespace_of(pid).ok(),
    }
}

/// The user namespace of a process. The caller must be allowed to trace the process (ptrace(2)).
pub fn user_namespace_of(pid: Pid) -> Result<OwnedFd> {
    open_namespace(format!("/proc/{pid}/ns/user").as_ref())
}

fn open_namespace(path: &Path) -> Result<OwnedFd> {
    nix::fcntl::open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

/// The user that owns a user namespace: the user that made it (NS_GET_OWNER_UID, ioctl_nsfs(2)).
pub fn owner_uid(namespace: &impl AsFd) -> Result<Uid> {
    const NS_GET_OWNER_UID: libc::c_ulong = 0xb704; // linux/nsfs.h
    let mut owner: libc::uid_t = 0;
    // SAFETY: the descriptor is open as long as it is borrowed; writes one number.
    Errno::result(unsafe {
        libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_OWNER_UID as _, &raw mut owner)
    })?;
    Ok(Uid::from_raw(owner))
}

/// Joins a user namespace; this process has all capabilities there (setns(2)). EINVAL if this
/// process has another thread.
pub fn join_user_namespace(namespace: &impl AsFd) -> Result<()> {
    nix::sched::setns(namespace, CloneFlags::CLONE_NEWUSER)
}

/// The namespaces that [`unshare`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The network stays that of the caller.
    Kept,
    /// A network namespace of its own, with nothing but a loopback interface that is down.
    Own,
}

/// Puts this process into new mount, IPC and UTS namespaces, which belong to its user namespace
/// (unshare(2)).
pub fn unshare(network: Network) -> Result<()> {
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    flags.set(CloneFlags::CLONE_NEWNET, network == Network::Own);
    nix::sched::unshare(flags)
}

/// Mounts a proc file system for this pid namespace on /proc.
pub fn mount_proc() -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    nix::mount::mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
}

/// Maps the ids of a process's new user namespace: exactly those of these two owners, each to
/// itself (user_namespaces(7)). This process has root's rights.
pub fn map_only(pid: Pid, owners: [Owner; 2]) -> Result<()> {
    let map = |ids: [u32; 2]| ids.map(|id| format!("{id} {id} 1\n")).concat();
    for (file, ids) in [
        ("uid_map", owners.map(|owner| owner.uid.as_raw())),
        ("gid_map", owners.map(|owner| owner.gid.as_raw())),
    ] {
        // One write: the kernel takes a map once.
        std::fs::write(format!("/proc/{pid}/{file}"), map(ids))
            .map_err(|error| super::errno(&error))?;
    }
    Ok(())
}

/// Whether this process's user namespace maps exactly these ids, and no others: the kernel lets no
/// process in it change a file to or from another owner.
pub fn maps_only(owners: [Owner; 2]) -> bool {
    let uids = owners.map(|owner| owner.uid.as_raw());
    let gids = owners.map(|owner| owner.gid.as_raw());
    maps("/proc/self/uid_map", uids) && maps("/proc/self/gid_map", gids)
}

/// The effective user id of this process as the user namespace above its own shows it: for
/// messages, since root of a namespace is another user outside. If the map cannot be read, the id
/// itself.
pub fn outer_uid() -> Uid {
    let uid = nix::unistd::geteuid();
    let text = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    text.lines().find_map(|line| outer_id(line, uid.as_raw())).map_or(uid, Uid::from_raw)
}

/// The id outside of the namespace, if this line of a map has this id.
fn outer_id(line: &str, id: u32) -> Option<u32> {
    let mut words = line.split_whitespace().map(str::parse::<u32>);
    let (first, outer, count) = (words.next()?.ok()?, words.next()?.ok()?, words.next()?.ok()?);
    let offset = id.checked_sub(first).filter(|offset| *offset < count)?;
    outer.checked_add(offset)
}

/// Whether a map consists of these ids (user_namespaces(7)).
fn maps(file: &str, ids: [u32; 2]) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else { return false };
    let mut mapped = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::parse::<u32>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) =
            (words.next(), words.next(), words.next())
        else {
            return false;
        };
        if count > 2 {
            return false;
        }
        mapped.extend((0..count).map(|offset| first.saturating_add(offset)));
    }
    mapped.len() == 2 && ids.iter().all(|id| mapped.contains(id)) && ids[0] != ids[1]
}

#[cfg(test)]
mod tests {
    use super::outer_id;

    #[test]
    fn an_id_is_found_in_its_line_of_a_map() {
        let line = "        10       2000         3";
        let found = [9, 10, 12, 13].map(|id| outer_id(line, id));
        assert_eq!(found, [None, Some(2000), Some(2002), None]);
        assert_eq!(outer_id("0 0 4294967295", 986), Some(986));
        assert_eq!(outer_id("", 0), None);
    }
}
