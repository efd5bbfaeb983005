//! The lists of clients and accounts. They are read again when they change; one with a wrong line
//! is reported, and the list before stays in force.

use command::refusal::{Refusal, Result};
use root::accounts::clients::Clients;
use root::accounts::list::AccountList;
use root::accounts::list_file::{ListError, ListFile};

/// Both lists.
pub(crate) struct Files {
    /// The users that may ask.
    pub(crate) clients: Clients,
    /// The accounts on lease.
    pub(crate) accounts: AccountList,
    clients_file: ListFile<Clients>,
    accounts_file: ListFile<AccountList>,
}

impl Files {
    /// Reads both. A list that cannot be used is empty, and its error is returned beside: the
    /// daemon serves, and an administrator can correct the file meanwhile.
    pub(crate) fn read() -> (Files, Result<()>) {
        let mut files = Files {
            clients: Clients::default(),
            accounts: AccountList::default(),
            clients_file: ListFile::new(Clients::PATH, Clients::parse),
            accounts_file: ListFile::new(AccountList::PATH, AccountList::parse),
        };
        let read = files.refresh();
        (files, read)
    }

    /// Reads again what has changed. The error names the line; then the list is as before, and the
    /// error is returned once.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let clients = update(&mut self.clients, self.clients_file.changed());
        let accounts = update(&mut self.accounts, self.accounts_file.changed());
        clients.and(accounts)
    }
}

/// Replaces a list by a new one.
fn update<T>(list: &mut T, changed: std::result::Result<Option<T>, ListError>) -> Result<()> {
    if let Some(new) = changed.map_err(Refusal::from)? {
        *list = new;
    }
    Ok(())
}
