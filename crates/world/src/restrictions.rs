//! What on this machine forbids user namespaces to unprivileged users.

use command::refusal::Refusal;
use sys::Errno;

/// The kernel forbids a step of making the payload another user. `step` follows "cannot"; the
/// message also names the settings that can be the reason.
pub fn forbidden(step: &str, cause: Errno) -> Refusal {
    let settings = advice();
    let hint = match cause {
        Errno::ENOSPC | Errno::EUSERS => {
            "; there are too many namespaces, or they are nested too deeply: see \
             user.max_user_namespaces and the other limits of namespaces(7)"
        }
        Errno::EPERM | Errno::EACCES if settings.is_empty() => {
            "; no known setting forbids it: look for a container's seccomp filter or a security \
             module"
        }
        _ => "",
    };
    Refusal::internal(format!("cannot {step}: {cause}{settings}{hint}"))
}

/// The settings of this machine that forbid user namespaces to unprivileged users, and the commands
/// that change them, as the end of a message; empty if no such setting is found.
pub fn advice() -> String {
    let set = |path: &str, value: &str| {
        std::fs::read_to_string(path).is_ok_and(|found| found.trim() == value)
    };
    let known = [
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
        ("/proc/sys/user/max_pid_namespaces", "0", "user.max_pid_namespaces=10000"),
        ("/proc/sys/user/max_mnt_namespaces", "0", "user.max_mnt_namespaces=10000"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0 (or an AppArmor profile with userns \
             for this program)",
        ),
    ];
    let found =
        known.iter().filter(|(path, value, _)| set(path, value)).map(|(_, _, setting)| *setting);
    match found.collect::<Vec<_>>() {
        none if none.is_empty() => String::new(),
        settings => format!(
            "; this machine restricts user namespaces; an administrator can change that: \
             sysctl -w {}",
            settings.join(" ")
        ),
    }
}
