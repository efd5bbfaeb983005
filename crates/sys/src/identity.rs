//! The user and groups that this process runs as (credentials(7)).

use super::{Errno, Gid, Result, Uid};

/// Whether the kernel started this program in secure-execution mode: its file is set-user-ID or
/// set-group-ID, or has capabilities, or a security module asked for it (AT_SECURE, getauxval(3)).
pub fn is_secure_execution() -> bool {
    // SAFETY: reads a value that the kernel passed to this process at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whether this process has rights that its caller does not have, because the file of its program
/// gives them: another user or group, or a capability. Unlike [`is_secure_execution`], false where
/// only a security module asked for secure execution.
pub fn has_file_privileges() -> bool {
    if !is_secure_execution() {
        return false;
    }
    let (Ok(users), Ok(groups)) = (nix::unistd::getresuid(), nix::unistd::getresgid()) else {
        return true;
    };
    let is_caller = users.real == users.effective && groups.real == groups.effective;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapPrm:")?.trim(), 16).ok());
    !is_caller || capabilities != Some(0)
}

/// Sets the real, effective and saved user and group ids, with no supplementary groups and no
/// capabilities. EPERM if
/// this process could change back to root afterwards, or has kept another id; the group may be
/// root's.
pub fn become_user(user: Uid, group: Gid) -> Result<()> {
    nix::unistd::setgroups(&[])?;
    nix::unistd::setresgid(group, group, group)?;
    nix::unistd::setresuid(user, user, user)?;
    // A root that executes a program gets them again, and with them it would lose its signal at the
    // end of its parent (PR_SET_PDEATHSIG, prctl(2)).
    if !user.is_root() {
        super::switch::clear_capabilities()?;
    }
    let (users, groups) = (nix::unistd::getresuid()?, nix::unistd::getresgid()?);
    let all = [users.real, users.effective, users.saved].iter().all(|id| *id == user)
        && [groups.real, groups.effective, groups.saved].iter().all(|id| *id == group);
    let back = !user.is_root()
        && (nix::unistd::setuid(Uid::from_raw(0)).is_ok()
            || group.as_raw() != 0 && nix::unistd::setgid(Gid::from_raw(0)).is_ok());
    if all && !back && nix::unistd::getgroups()?.is_empty() { Ok(()) } else { Err(Errno::EPERM) }
}

/// Becomes a process that may signal the processes of a user and no others, and that no process of
/// that user may signal: kill(2) goes by the real and effective ids of the sender, and by the real
/// and saved ids of the other process. So the effective user alone is the user; the saved one is
/// root, and the real one an id that no process has. To be called as root, by a process that
/// signals and ends. EPERM if it has not become that, EINVAL in a user namespace that does not map
/// the id.
pub fn become_signaller_of(user: Uid, group: Gid) -> Result<()> {
    // Not the last id, which means none, nor the last but one, which some systems give to nobody.
    const OF_NO_PROCESS: Uid = Uid::from_raw(u32::MAX - 2);
    let root = Uid::from_raw(0);
    if user.is_root() || user == OF_NO_PROCESS {
        return Err(Errno::EPERM);
    }
    nix::unistd::setgroups(&[])?;
    nix::unistd::setresgid(group, group, group)?;
    nix::unistd::setresuid(OF_NO_PROCESS, user, root)?;
    // With CAP_KILL it would signal all processes of the machine.
    super::switch::clear_capabilities()?;
    let users = nix::unistd::getresuid()?;
    match (users.real, users.effective, users.saved) == (OF_NO_PROCESS, user, root) {
        true => Ok(()),
        false => Err(Errno::EPERM),
    }
}
