//! gridmapdir: the pool accounts, and which identity has a lease of which.
//!
//! The directory has a file for each account of a pool. A lease is a hard link to it, whose name is
//! made of the identity ([`name`]). So a file with one link is free, one with two is leased, and
//! link(2) makes sure that an identity has one lease. The files are the usual ones: other software
//! on this machine, or on others that mount the directory, can use it at the same time.
//!
//! Of that software two processes can link one account at the same moment: then each sees three
//! links, and removes its own. Processes of this program use the directory one after the other: they
//! lock the file [`LOCK`].

pub(super) mod name;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use command::refusal::{Refusal, Result};
use error::{Context as _, Error, Shown};
use hooks::trust::{self, Owners};
use sys::flock::{self, Lock};
use sys::{Dir, Errno, Kind, Name, OwnedName, Stat, Time};

use crate::names::{is_account_name, is_of_pool};

/// The file that processes of this program lock. It does not look like an account.
const LOCK: &[u8] = b".glexec.lock";

/// How long a process waits for others that have the directory locked.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a lease is looked at that other software is changing, with [`PAUSE`] between.
const TRIES: u32 = 500;

/// A pause for other software to remove its link; longer at random, so that two that collide do
/// not collide again.
const PAUSE: Duration = Duration::from_millis(1);

/// A directory that this process has locked.
#[derive(Debug)]
pub(super) struct Gridmapdir {
    directory: Dir,
    path: PathBuf,
    /// Unlocked when it is closed: no child of this process has it open for longer.
    lock: File,
}

/// The file of an account.
pub(super) struct AccountFile {
    /// The account's name.
    pub(super) name: OwnedName,
    /// The file.
    pub(super) stat: Stat,
}

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
    /// Opens and locks the directory. It must be trusted as the configuration is.
    pub(super) fn lock(path: &Path) -> Result<Gridmapdir> {
        let directory = trust::open_directory(path, &Owners::ROOT).map_err(refusal)?;
        let name = entry_name(LOCK)?;
        let opened = directory.open_to_write(name.name(), true);
        let lock = opened.at("open", path.join(name.name().os())).map_err(refusal)?;
        flock::lock(&lock, Lock::Exclusive, LOCK_TIMEOUT).at("lock", path).map_err(refusal)?;
        Ok(Gridmapdir { directory, path: path.to_owned(), lock })
    }

    /// The account that has a lease of this name; none if there is none. The lease is used now.
    pub(super) fn find(&self, lease: Name<'_>) -> Result<Option<OwnedName>> {
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
            let mut accounts = self.accounts(|_| true)?.into_iter();
            let account = accounts.find(|account| account.stat.identity() == stat.identity());
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
    pub(super) fn take(
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
    pub(super) fn remove(&self, lease: Name<'_>) -> Result<()> {
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

    /// The files of accounts whose name is wanted.
    pub(super) fn accounts(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<AccountFile>> {
        let mut accounts = Vec::new();
        self.for_each(|name| {
            if is_account(name.bytes()) && is_wanted(name.bytes()) {
                if let Some(stat) = self.stat(name)?.filter(|stat| stat.kind() == Kind::File) {
                    accounts.push(AccountFile { name: name.into(), stat });
                }
            }
            Ok(())
        })?;
        Ok(accounts)
    }

    /// Calls `visit` for each entry.
    pub(super) fn for_each(&self, visit: impl FnMut(Name<'_>) -> Result<()>) -> Result<()> {
        let mut visit = visit;
        let visited = self.directory.for_each_entry(|name, _| visit(name));
        visited.at("read", &self.path).map_err(refusal)?
    }

    /// The file of an account, open to read and write.
    pub(super) fn open(&self, account: Name<'_>) -> Result<File> {
        let opened = self.directory.open_to_write(account, false);
        opened.map_err(|cause| self.failed("open", account, cause))
    }

    /// An entry; none if it does not exist.
    pub(super) fn stat(&self, name: Name<'_>) -> Result<Option<Stat>> {
        match self.directory.stat(name) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(cause) => Err(self.failed("examine", name, cause)),
        }
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

    /// That a lease cannot be used as it is. Only an administrator knows which identity is right.
    pub(super) fn damaged(&self, lease: Name<'_>, why: &str) -> Refusal {
        Refusal::internal(format!(
            "the lease {} cannot be used: {why}: an administrator must remove it, once no process \
             of the account runs",
            Shown::os(&self.path.join(lease.os()))
        ))
    }

    pub(super) fn failed(&self, step: &'static str, name: Name<'_>, cause: Errno) -> Refusal {
        refusal(Error::System {
            step,
            path: self.path.join(name.os()).into_os_string().into_encoded_bytes(),
            cause,
        })
    }
}

impl Drop for Gridmapdir {
    fn drop(&mut self) {
        // A child may have a copy of the descriptor: closing this one would not unlock the file.
        flock::unlock(&self.lock);
    }
}

/// Whether a file of this name is that of an account. Names with `~` are left by editors.
pub(crate) fn is_account(name: &[u8]) -> bool {
    is_account_name(name) && name != b"root"
}

fn entry_name(bytes: &[u8]) -> Result<OwnedName> {
    OwnedName::new(bytes.to_vec())
        .ok_or_else(|| Refusal::internal(format!("{} is no name of a file", Shown(bytes))))
}

pub(super) fn refusal(error: Error) -> Refusal {
    Refusal::internal(error.to_string())
}
