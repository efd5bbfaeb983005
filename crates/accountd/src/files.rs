//! The lists of clients and accounts. They are read again when they change; a list with a wrong line
//! is reported, and the one before stays in force.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use command::refusal::Result;
use root::accounts::clients::Clients;
use root::accounts::list::AccountList;

/// Both lists.
#[derive(Clone)]
pub(crate) struct Files {
    /// The users that may ask.
    pub(crate) clients: Clients,
    /// The accounts on lease.
    pub(crate) accounts: AccountList,
    read: [Version; 2],
}

/// Which version of a file was read: none if it did not exist. The change time is set by the kernel
/// alone.
type Version = Option<(u64, u64, i64, i64, u64)>;

const PATHS: [&str; 2] = [Clients::PATH, AccountList::PATH];

fn versions() -> [Version; 2] {
    PATHS.map(|path| {
        let found = fs::metadata(Path::new(path)).ok()?;
        Some((found.dev(), found.ino(), found.ctime(), found.ctime_nsec(), found.size()))
    })
}

impl Files {
    /// Reads both.
    pub(crate) fn read() -> Result<Files> {
        let read = versions();
        Ok(Files { clients: Clients::read()?, accounts: AccountList::read()?, read })
    }

    /// Reads again what has changed. The error names the line; then the lists are as before, and a
    /// version that is wrong is reported once.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let now = versions();
        if now == self.read {
            return Ok(());
        }
        self.read = now;
        let (clients, accounts) = (Clients::read(), AccountList::read());
        if let Ok(clients) = &clients {
            self.clients = clients.clone();
        }
        if let Ok(accounts) = &accounts {
            self.accounts = accounts.clone();
        }
        clients.map(drop).and(accounts.map(drop))
    }
}
