//! Leases in gridmapdir: finding, making and removing them, beside other software that does the
//! same without the lock of this program.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use command::refusal::Result;
use sys::{Errno, Name, OwnedName, Time};

use super::{AccountFile, Gridmapdir};
use crate::names::is_of_pool;

/// How often a lease is looked at that other software is changing, with [`PAUSE`] between.
const TRIES: u32 = 500;

/// A pause for other software to remove its link; longer at random, so that two that collide do
/// not collide again.
const PAUSE: Duration = Duration::from_millis(1);

/// What became of an attempt to take an account.
enum Attempt {
    /// It is leased to the identity.
    Leased,
    /// The identity has a lease already: other software was faster.
    Exists,
    /// The account is not free: other software was faster.
    Lost,
}

impl Gridmapdir {
    /// The account that has a lease of this name; none if there is none. The lease is used now.
    pub(in crate::mapping) fn find(&self, lease: Name<'_>) -> Result<Option<OwnedName>> {
        for _ in 0..TRIES {
            let Some(stat) = self.stat(lease)? else { return Ok(None) };
            match stat.nlink() {
                2 => {}
                1 => return Err(self.damaged(lease, "the file of its account is gone")),
                _ => {
                    self.pause();
                    continue;
                }
            }
            let account = self.account_of(&stat)?;
            // The link may have been removed, and another one made, since the first look.
            let now = self.stat(lease)?;
            match (account, now) {
                (Some(account), Some(now))
                    if now.identity() == stat.identity() && now.nlink() == 2 =>
                {
                    self.touch(lease)?;
                    return Ok(Some(account.name));
                }
                (None, Some(now)) if now.identity() == stat.identity() && now.nlink() == 2 => {
                    return Err(self.damaged(lease, "its other name is not that of an account"));
                }
                _ => self.pause(),
            }
        }
        Err(self.damaged(lease, "several identities have its account"))
    }

    /// Leases an account of a pool; none if no account is free that `is_usable`. The account whose
    /// lease ended first is taken first. `before` prepares its file.
    pub(in crate::mapping) fn take(
        &self,
        prefix: &[u8],
        lease: impl Fn(Name<'_>) -> Result<OwnedName>,
        mut is_usable: impl FnMut(Name<'_>) -> Result<bool>,
        before: impl Fn(Name<'_>) -> Result<()>,
    ) -> Result<Option<OwnedName>> {
        for _ in 0..TRIES {
            let mut was_lost = false;
            for account in self.free(prefix)? {
                let account = account.name.name();
                if !is_usable(account)? {
                    continue;
                }
                before(account)?;
                let lease = lease(account)?;
                match self.attempt(account, lease.name())? {
                    Attempt::Leased | Attempt::Exists => {
                        if let Some(account) = self.find(lease.name())? {
                            return Ok(Some(account));
                        }
                        was_lost = true;
                    }
                    Attempt::Lost => was_lost = true,
                }
            }
            if !was_lost {
                return Ok(None);
            }
            self.pause();
        }
        Ok(None)
    }

    fn attempt(&self, account: Name<'_>, lease: Name<'_>) -> Result<Attempt> {
        match self.directory.link(account, &self.directory, lease) {
            Ok(()) => {}
            Err(Errno::EEXIST) => return Ok(Attempt::Exists),
            // The account was removed from the pool.
            Err(Errno::ENOENT) => return Ok(Attempt::Lost),
            Err(cause) => return Err(self.failed("make the lease", lease, cause)),
        }
        match self.stat(lease)? {
            Some(stat) if stat.nlink() == 2 => Ok(Attempt::Leased),
            Some(_) => {
                self.remove(lease)?;
                Ok(Attempt::Lost)
            }
            None => Ok(Attempt::Lost),
        }
    }

    /// Removes a lease: its account is free.
    pub(in crate::mapping) fn remove(&self, lease: Name<'_>) -> Result<()> {
        match self.directory.remove_file(lease) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(cause) => Err(self.failed("remove the lease", lease, cause)),
        }
    }

    /// The free accounts of a pool, in the order of the end of their leases.
    fn free(&self, prefix: &[u8]) -> Result<Vec<AccountFile>> {
        let mut free = self.accounts(|name| is_of_pool(name, prefix))?;
        free.retain(|account| account.stat.nlink() == 1);
        let last_use = |account: &AccountFile| {
            let time = account.stat.modified();
            (time.seconds, time.nanoseconds)
        };
        free.sort_by(|one, other| {
            let names = |account: &AccountFile| account.name.name().bytes().to_vec();
            last_use(one).cmp(&last_use(other)).then_with(|| names(one).cmp(&names(other)))
        });
        Ok(free)
    }

    /// Sets the time of the last use, by which administrators end leases that are no longer used.
    fn touch(&self, lease: Name<'_>) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let time = Time { seconds, nanoseconds: now.subsec_nanos() };
        let touched = self.directory.set_modified_at(lease, time);
        touched.map_err(|cause| self.failed("set the time of", lease, cause))
    }

    fn pause(&self) {
        std::thread::sleep(PAUSE + Duration::from_micros(fastrand::u64(..2000)));
    }
}
