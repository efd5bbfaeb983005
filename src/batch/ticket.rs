//! The ticket of a helper: it keeps other helpers from a sandbox.

use std::time::Duration;

use error::{Error, Result};
use sys::flock::Lock;
use sys::{Dir, Errno, Name, OwnedName, flock};

use super::sandbox::Sandbox;

/// Longer than any deletion takes.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// An empty, locked directory (flock(2)) with a temporary name beside the sandbox. Other helpers of
/// this user leave the sandbox alone until the directory, and every copy of its descriptor, is
/// closed. No other user can open it, and so none can lock it.
#[derive(Debug)]
pub struct Ticket<'a> {
    sandbox: &'a Sandbox,
    /// The temporary name; `None` after it was left to a child process.
    name: Option<OwnedName>,
    /// The directory.
    pub dir: Dir,
}

impl<'a> Ticket<'a> {
    /// Takes a ticket. It is an error if another helper has one. There is none where another helper
    /// could not see it: the file system has no locks or no free space, or the directory that
    /// contains the sandbox cannot be listed.
    ///
    /// A helper first locks its own ticket, and then looks for others: of two helpers at least one
    /// sees the other.
    pub fn take(sandbox: &'a Sandbox) -> Result<Option<Self>> {
        let ticket = match sandbox.place.create_dir() {
            Ok((name, dir)) => Some(Ticket { sandbox, name: Some(name), dir }),
            Err(Error::System { cause: Errno::ENOSPC | Errno::EDQUOT, .. }) => None,
            Err(error) => return Err(error),
        };
        let locked = ticket.as_ref().map(|ticket| ticket.dir.lock());
        if matches!(locked, Some(Err(Errno::EAGAIN))) {
            return Err(in_use(sandbox));
        }
        let own = ticket.as_ref().and_then(Ticket::name);
        let names = sandbox.place.leftovers_of(sandbox.user());
        let is_seen = names.iter().any(|name| Some(name.name()) == own);
        for name in names.iter().map(OwnedName::name).filter(|name| Some(*name) != own) {
            wait_until_free(sandbox, name, Duration::ZERO)?;
        }
        Ok(ticket.filter(|_| is_seen && matches!(locked, Some(Ok(_)))))
    }

    /// As [`Ticket::take`], but first waits for each helper that has a ticket, at most for this
    /// time; zero means no limit.
    pub fn wait_for(sandbox: &'a Sandbox, limit: Duration) -> Result<Option<Self>> {
        let limit = if limit.is_zero() { NO_LIMIT } else { limit };
        for name in sandbox.place.leftovers_of(sandbox.user()) {
            wait_until_free(sandbox, name.name(), limit)?;
        }
        Ticket::take(sandbox)
    }

    /// The temporary name, unless it was left to a child process.
    pub fn name(&self) -> Option<Name<'_>> {
        self.name.as_ref().map(OwnedName::name)
    }

    /// Removes the directory.
    pub fn remove(&self) {
        if let Some(name) = &self.name {
            self.sandbox.remove_leftover(name);
        }
    }

    /// Leaves the ticket to a child process, which removes it.
    pub fn leave_to_child(mut self) {
        self.name = None;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Waits until no helper has locked the entry with this temporary name, at most for this time.
fn wait_until_free(sandbox: &Sandbox, name: Name<'_>, limit: Duration) -> Result<()> {
    match sandbox
        .place
        .parent
        .open_file(name)
        .map(|file| flock::lock(&file, Lock::Exclusive, limit))
    {
        Ok(Err(Errno::EAGAIN)) => Err(in_use(sandbox)),
        // An entry that is gone, or cannot be opened or locked, is not the ticket of a helper.
        _ => Ok(()),
    }
}

fn in_use(sandbox: &Sandbox) -> Error {
    Error::refused(
        sandbox.path(),
        "another helper works on it, or still deletes what was in it before the job",
    )
}
