//! gridmapdir: the pool accounts, and which identity has a lease of which.
//!
//! The directory has a file for each account of a pool. A lease is a hard link to it, whose name is
//! made of the identity ([`name`]). So a file with one link is free, one with two is leased, and
//! link(2) makes sure that an identity has one lease. The files are the usual ones: other software
//! on this machine, or on others that mount the directory, can use it at the same time.
//!
//! Of that software two processes can link one account at the same moment: then each sees three
//! links, and removes its own. Processes of this program use the directory one after the other:
//! they lock the file [`LOCK`].
//!
//! This file opens the directory and reads it; [`lease`] finds, makes and removes leases.

mod lease;
pub(super) mod name;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use command::refusal::{Refusal, Result};
use error::{Context as _, Error, Shown};
use hooks::trust::{self, Owners};
use sys::flock::{self, Lock};
use sys::{Dir, Errno, Kind, Name, OwnedName, Stat};

use crate::names::is_account_name;

/// The file that processes of this program lock. It does not look like an account.
const LOCK: &[u8] = b".glexec.lock";

/// How long a process waits for others that have the directory locked.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// A directory that this process has locked.
#[derive(Debug)]
pub(super) struct Gridmapdir {
    directory: Dir,
    path: PathBuf,
    /// Locked until this value is dropped.
    lock: File,
}

/// The file of an account.
pub(super) struct AccountFile {
    /// The account's name.
    pub(super) name: OwnedName,
    /// The file.
    pub(super) stat: Stat,
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

    /// The account whose file this is.
    fn account_of(&self, file: &Stat) -> Result<Option<AccountFile>> {
        let (_, inode) = file.identity();
        let mut likely = Vec::new();
        let visited = self.directory.for_each_inode(|name, _, number| -> Result<()> {
            if number == inode && is_account(name.bytes()) {
                likely.push(name.bytes().to_vec());
            }
            Ok(())
        });
        visited.at("read", &self.path).map_err(refusal)??;
        let is_it = |account: &AccountFile| account.stat.identity() == file.identity();
        let find = |accounts: Vec<AccountFile>| accounts.into_iter().find(is_it);
        // To examine each of 4,000 accounts instead takes 15 ms.
        match find(self.accounts(|name| likely.iter().any(|other| other == name))?) {
            None => Ok(find(self.accounts(|_| true)?)),
            found => Ok(found),
        }
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
