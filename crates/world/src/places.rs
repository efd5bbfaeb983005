//! What of the machine the closed world hides, and what it keeps.

use std::path::Path;

/// Directories of the machine that are empty: the homes of accounts, and the sockets and state of
/// services.
pub(crate) const HIDDEN: [&str; 3] = ["/home", "/root", "/run"];

/// What is kept in /run: name resolution (resolv.conf(5), systemd-resolved(8)). The socket of nscd
/// is not: it would answer with the machine's accounts, and the payload's user is not among them.
pub(crate) const KEPT: [&str; 5] = [
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/run/connman/resolv.conf",
    "/run/netconfig/resolv.conf",
];

/// Of the machine in a root directory of its own, if that has a file there.
pub(crate) const OF_MACHINE: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Whether the directory of a sandbox, with all other sandboxes, can be hidden: not if programs
/// need it.
pub(crate) fn can_hide(directory: &Path) -> bool {
    const NEEDED: [&str; 12] = [
        "/bin", "/dev", "/etc", "/lib", "/lib64", "/opt", "/proc", "/sbin", "/sys", "/usr", "/var",
        "/srv",
    ];
    !NEEDED.iter().any(|needed| Path::new(needed).starts_with(directory))
        && !directory.starts_with("/usr")
        && !directory.starts_with("/etc")
        && directory != Path::new("/var/lib")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_that_programs_need_are_not_hidden() {
        for needed in ["/", "/usr", "/usr/local", "/etc", "/var", "/var/lib", "/opt"] {
            assert!(!can_hide(needed.as_ref()), "{needed}");
        }
        for other in ["/scratch", "/var/lib/condor/execute/dir_1", "/home/a", "/tmp", "/srv/jobs"] {
            assert!(can_hide(other.as_ref()), "{other}");
        }
    }
}
