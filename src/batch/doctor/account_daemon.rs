//! The account daemon: whether the caller can reach its socket.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use command::{accounts, groups};
use error::Shown;
use sys::{Errno, Gid, process, socket};

use super::finding::Finding;

const WHAT: &str = "account daemon";

/// The socket, unless the configuration names another one.
const SOCKET: &str = "/run/glexec/glexecd.socket";

/// Where its unit is installed.
const UNITS: [&str; 3] =
    ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];

/// How long the daemon may take to accept a connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whether `glexec` uses the daemon, as far as the socket tells.
pub(super) fn is_there() -> bool {
    std::fs::symlink_metadata(SOCKET)
        .is_ok_and(|found| found.file_type().is_socket() && found.uid() == 0)
}

/// Examines the socket. Without the daemon there is no finding.
pub(super) fn examine() -> Option<Finding> {
    let Ok(found) = std::fs::symlink_metadata(SOCKET) else { return not_listening() };
    if !found.file_type().is_socket() || found.uid() != 0 {
        let text = format!("{SOCKET} is no socket of root's: glexec does not use it");
        let advice = format!("as root `rm {SOCKET}`, and find out who has made it");
        return Some(Finding::problem(WHAT, text, advice));
    }
    Some(match socket::connect(Path::new(SOCKET), TIMEOUT) {
        Ok(_) => Finding::ok(
            WHAT,
            format!("{SOCKET} accepts your connections: payloads run as accounts that are leased"),
        ),
        Err(Errno::EACCES | Errno::EPERM) => not_permitted(Gid::from_raw(found.gid())),
        Err(Errno::ECONNREFUSED) => Finding::problem(
            WHAT,
            format!("no process listens on {SOCKET}: each call of glexec gets status 202"),
            "as root `systemctl start glexecd.socket`; if the daemon is not wanted any more, \
             `rm /run/glexec/glexecd.socket`",
        ),
        Err(cause) => Finding::problem(
            WHAT,
            format!("{SOCKET}: {cause}"),
            "as root `systemctl status glexecd.service`",
        ),
    })
}

/// It is installed, and its socket is not there.
fn not_listening() -> Option<Finding> {
    let is_unit = |directory: &&str| Path::new(directory).join("glexecd.socket").exists();
    UNITS.into_iter().find(is_unit)?;
    let text = format!("it is installed but not in use: there is no {SOCKET}");
    Some(Finding::ok(WHAT, text))
}

/// The caller may not connect.
fn not_permitted(group: Gid) -> Finding {
    let account = accounts::of(process::geteuid()).ok().flatten();
    let group = groups::of(group).ok().flatten();
    let (Some(account), Some(group)) = (account, group) else {
        let text = format!("you may not connect to {SOCKET}");
        return Finding::problem(WHAT, text, "as root `glexec_accounts allow <user>`");
    };
    let (user, name) = (Shown(&account.name), Shown(&group.name));
    if group.members.contains(&account.name) {
        return Finding::problem(
            WHAT,
            format!("{user} is a member of the group {name}, but this process is not in it"),
            "start the batch system, or your session, again",
        );
    }
    Finding::problem(
        WHAT,
        format!("you may not connect to {SOCKET}: {user} is not in the group {name}"),
        format!("as root `glexec_accounts allow {user}`, then start the processes of {user} again"),
    )
}
