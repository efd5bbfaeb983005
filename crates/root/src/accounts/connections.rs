//! The connections of clients: a file for each client's user id in /run/glexec/connections, which
//! each process of a connection has locked, shared. So a daemon that starts knows how many each
//! client has, of those that an earlier one has begun.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use command::refusal::Result;
use sys::flock::{self, Lock};
use sys::{Uid, flock_holders};

use super::table::{failed, make_directory, open};

const DIRECTORY: &str = "/run/glexec/connections";

/// Counts this process as one of a client's connections, as long as the file is open.
pub fn join(client: Uid) -> Result<File> {
    make_directory(Path::new(DIRECTORY))?;
    let file = open(&Path::new(DIRECTORY).join(client.to_string()))?;
    // No process locks it exclusively.
    flock::lock(&file, Lock::Shared, Duration::ZERO)
        .map_err(|cause| failed("lock a file in", Path::new(DIRECTORY), cause))?;
    Ok(file)
}

/// The processes of all connections that there are, by descriptors (pidfd_open(2)), with their
/// clients.
pub fn all() -> Vec<(OwnedFd, Uid)> {
    let entries = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let client = |entry: fs::DirEntry| {
        let client = Uid::from_raw(entry.file_name().to_str()?.parse().ok()?);
        let file = File::open(entry.path()).ok()?;
        let open = |pid| Some((flock_holders::open(pid, &file).ok()?, client));
        let pids = flock_holders::sharing(&file).ok()?;
        Some(pids.into_iter().filter_map(open).collect::<Vec<_>>())
    };
    entries.filter_map(client).flatten().collect()
}

/// Removes the files of users that have no connection: an account can have thousands of subordinate
/// ids, and connect as each. To be called where no connection begins meanwhile.
pub fn forget_all_but(has_connections: impl Fn(Uid) -> bool) {
    for entry in fs::read_dir(DIRECTORY).into_iter().flatten().flatten() {
        let user = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if user.is_some_and(|user| !has_connections(Uid::from_raw(user))) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
