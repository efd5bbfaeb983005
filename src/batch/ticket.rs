//! One helper at a time works on a sandbox.

use std::time::Duration;

use error::{Error, Result};
use sys::flock::{self, Lock};
use sys::{Dir, Errno, Name, OwnedName};

use super::sandbox::Sandbox;

/// Longer than any deletion.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Keeps the other helpers of this user from a sandbox as long as it, or a copy of its descriptor,
/// is open: an empty directory with a temporary name, locked (flock(2)). No other user can open it,
/// and so none can lock it.
#[derive(Debug)]
pub struct Ticket<'a> {
    sandbox: &'a Sandbox,
    /// Its temporary name; none once it is left to another process.
    name: Option<OwnedName>,
    /// The directory itself.
    pub dir: Dir,
}

impl<'a> Ticket<'a> {
    /// Takes one, or is refused by a helper that has one. None where no other could see it: the
    /// file system has no locks, the directory that the sandbox is in can't be listed, or there
    /// is no room.
    ///
    /// Who takes one locks it first, and then looks for others: so of two at least one sees the
    /// other.
    pub fn take(sandbox: &'a Sandbox) -> Result<Option<Self>> {
        let ticket = match sandbox.place.create_dir() {
            Ok((name, dir)) => Some(Ticket { sandbox, name: Some(name), dir }),
            Err(Error::System { cause: Errno::ENOSPC | Errno::EDQUOT, .. }) => None,
            Err(error) => return Err(error),
        };
        let locked = ticket.as_ref().map(|ticket| ticket.dir.lock());
        if matches!(locked, Some(Err(Errno::EAGAIN))) {
            return Err(refused(sandbox));
        }
        let own = ticket.as_ref().and_then(Ticket::name);
        let names = sandbox.place.leftovers_of(sandbox.user());
        let is_seen = names.iter().any(|name| Some(name.name()) == own);
        for name in names.iter().map(OwnedName::name).filter(|name| Some(*name) != own) {
            wait(sandbox, name, Duration::ZERO)?;
        }
        Ok(ticket.filter(|_| is_seen && matches!(locked, Some(Ok(_)))))
    }

    /// As [`Ticket::take`], after waiting for each helper that has one, at most so long; zero is
    /// without a limit.
    pub fn wait_for(sandbox: &'a Sandbox, limit: Duration) -> Result<Option<Self>> {
        let limit = if limit.is_zero() { NO_LIMIT } else { limit };
        for name in sandbox.place.leftovers_of(sandbox.user()) {
            wait(sandbox, name.name(), limit)?;
        }
        Ticket::take(sandbox)
    }

    /// Its temporary name, unless it is left to another process.
    pub fn name(&self) -> Option<Name<'_>> {
        self.name.as_ref().map(OwnedName::name)
    }

    /// Removes its name.
    pub fn remove(&self) {
        if let Some(name) = &self.name {
            self.sandbox.forget(name);
        }
    }

    /// Leaves it to a child, which removes it.
    pub fn leave(mut self) {
        self.name = None;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Waits until no helper has the lock of what has this temporary name, at most so long.
fn wait(sandbox: &Sandbox, name: Name<'_>, limit: Duration) -> Result<()> {
    match sandbox
        .place
        .parent
        .open_file(name)
        .map(|file| flock::lock(&file, Lock::Exclusive, limit))
    {
        Ok(Err(Errno::EAGAIN)) => Err(refused(sandbox)),
        // What is gone, or can't be opened or locked, is no helper's at work.
        _ => Ok(()),
    }
}

fn refused(sandbox: &Sandbox) -> Error {
    Error::refused(
        sandbox.path(),
        "another helper works on it, or still deletes what was in it before the job",
    )
}
