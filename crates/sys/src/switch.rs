//! Changing the user of a process that has root's rights (credentials(7), capabilities(7)).

use nix::unistd::{
    getgroups, getresgid, getresuid, setfsgid, setfsuid, setgroups, setresgid, setresuid,
};

use super::{Errno, Gid, Result, Uid};

/// A user with groups: what a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user id.
    pub user: Uid,
    /// The group id.
    pub group: Gid,
    /// The supplementary groups.
    pub groups: Vec<Gid>,
}

impl Identity {
    /// The real user and group of this process, and its supplementary groups: those of the process
    /// that executed a set-user-ID program.
    pub fn of_caller() -> Result<Identity> {
        let (user, group) = (getresuid()?.real, getresgid()?.real);
        Ok(Identity { user, group, groups: getgroups()? })
    }

    /// Root, without supplementary groups.
    pub fn root() -> Identity {
        Identity { user: Uid::from_raw(0), group: Gid::from_raw(0), groups: Vec::new() }
    }
}

/// Makes root this process's real, effective and saved user and group, without supplementary
/// groups. From then on no other user can signal the process. EPERM if it has not become that.
pub fn become_root() -> Result<()> {
    let root = Identity::root();
    set_all(&root)?;
    if is_all(&root)? { Ok(()) } else { Err(Errno::EPERM) }
}

/// Calls `work` with a user's rights to files: with its file-system ids and supplementary groups,
/// and without root's capabilities for files (setfsuid(2)). Afterwards this process, which
/// [`become_root`] has made root's, has root's rights again. EPERM if one of these changes was not
/// made.
pub fn with_files_of<T>(user: &Identity, work: impl FnOnce() -> T) -> Result<T> {
    setgroups(&user.groups)?;
    set_file_ids(user.user, user.group)?;
    let done = work();
    set_file_ids(Uid::from_raw(0), Gid::from_raw(0))?;
    setgroups(&[])?;
    Ok(done)
}

/// Sets the file-system ids. The system calls report no error: so a second call asks what is set.
fn set_file_ids(user: Uid, group: Gid) -> Result<()> {
    // The user last where it loses rights, and first where it gets them: then the process may set
    // the group both times (CAP_SETGID does not depend on the file-system user).
    setfsgid(group);
    setfsuid(user);
    if file_ids() == (user, group) { Ok(()) } else { Err(Errno::EPERM) }
}

/// The file-system ids. No id is -1: the calls change nothing.
fn file_ids() -> (Uid, Gid) {
    (setfsuid(Uid::from_raw(u32::MAX)), setfsgid(Gid::from_raw(u32::MAX)))
}

/// Becomes another user for good: groups, then group, then user; real, effective, saved and
/// file-system ids; no capability. Then proves it: EPERM if an id or a capability is not as it must
/// be, or if this process could become root or `before` again.
///
/// The bounding set stays as it is. A set-user-ID program that has fewer capabilities than it
/// expects may be unable to drop root's rights, and its caller here is not trusted.
pub fn become_for_good(target: &Identity, before: &Identity) -> Result<()> {
    if target.user.is_root() {
        return Err(Errno::EPERM);
    }
    clear_ambient_capabilities()?;
    set_all(target)?;
    clear_capabilities()?;
    prove(target, before)
}

/// Becomes another user and keeps the capabilities (SECBIT_NO_SETUID_FIXUP, capabilities(7)): for
/// a process in a user namespace, whose capabilities are for the ids that the namespace maps. EPERM
/// if it has not become that user.
pub fn become_with_capabilities(user: &Identity) -> Result<()> {
    const SECBIT_NO_SETUID_FIXUP: libc::c_ulong = 1 << 2; // linux/securebits.h
    // SAFETY: takes numbers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) })?;
    set_all(user)?;
    if is_all(user)? { Ok(()) } else { Err(Errno::EPERM) }
}

fn set_all(identity: &Identity) -> Result<()> {
    setgroups(&identity.groups)?;
    setresgid(identity.group, identity.group, identity.group)?;
    setresuid(identity.user, identity.user, identity.user)
}

/// Whether this process has these ids, all of them.
fn is_all(identity: &Identity) -> Result<bool> {
    let (users, groups) = (getresuid()?, getresgid()?);
    let sorted = |mut groups: Vec<Gid>| {
        groups.sort_unstable_by_key(|group| group.as_raw());
        groups.dedup();
        groups
    };
    Ok([users.real, users.effective, users.saved].iter().all(|id| *id == identity.user)
        && [groups.real, groups.effective, groups.saved].iter().all(|id| *id == identity.group)
        && file_ids() == (identity.user, identity.group)
        && sorted(getgroups()?) == sorted(identity.groups.clone()))
}

/// That this process is `target` and nothing else, and stays so.
fn prove(target: &Identity, before: &Identity) -> Result<()> {
    let is_bare = has_no_capabilities()?;
    let comes_back = [Uid::from_raw(0), before.user].into_iter().any(can_become)
        || [Gid::from_raw(0), before.group].into_iter().any(|group| can_join(group, target));
    // Asked after the attempts: none of them has changed anything.
    if is_bare && !comes_back && is_all(target)? { Ok(()) } else { Err(Errno::EPERM) }
}

/// Whether this process can get a user id that it does not have.
fn can_become(user: Uid) -> bool {
    // With -1 an id stays as it is.
    let same = Uid::from_raw(u32::MAX);
    if getresuid().is_ok_and(|found| found.real == user) {
        return false;
    }
    setresuid(user, same, same).is_ok()
        || setresuid(same, user, same).is_ok()
        || setresuid(same, same, user).is_ok()
        || nix::unistd::setuid(user).is_ok()
        || {
            setfsuid(user);
            file_ids().0 == user
        }
}

/// Whether this process can get a group that it does not have.
fn can_join(group: Gid, target: &Identity) -> bool {
    let same = Gid::from_raw(u32::MAX);
    if target.group == group || target.groups.contains(&group) {
        return false;
    }
    setresgid(group, same, same).is_ok()
        || setresgid(same, group, same).is_ok()
        || setresgid(same, same, group).is_ok()
        || nix::unistd::setgid(group).is_ok()
        || setgroups(&[group]).is_ok()
        || {
            setfsgid(group);
            file_ids().1 == group
        }
}

/// Empties the ambient set (PR_CAP_AMBIENT_CLEAR_ALL).
fn clear_ambient_capabilities() -> Result<()> {
    // SAFETY: takes numbers; those that the call ignores must be 0.
    let cleared =
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    Errno::result(cleared).map(drop)
}

/// Empties the permitted, effective and inheritable sets (capset(2)).
pub(super) fn clear_capabilities() -> Result<()> {
    const VERSION_3: u32 = 0x2008_0522; // linux/capability.h
    let header = [VERSION_3, 0];
    let none = [0_u32; 6];
    // SAFETY: both arrays have the layout of the kernel's structures, and live during the call. The
    // kernel only writes the header if it does not know the version: the copy on the stack is
    // passed by a pointer that may be written.
    let cleared = unsafe {
        let mut header = header;
        libc::syscall(libc::SYS_capset, header.as_mut_ptr(), none.as_ptr())
    };
    Errno::result(cleared).map(drop)
}

/// Whether the permitted, effective, inheritable and ambient sets are empty (proc_pid_status(5)).
fn has_no_capabilities() -> Result<bool> {
    let text = super::proc::read("/proc/self/status")?;
    let is_empty = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.is_some_and(|value| u64::from_str_radix(value.trim(), 16) == Ok(0))
    };
    Ok(["CapInh", "CapPrm", "CapEff", "CapAmb"].into_iter().all(is_empty))
}
