//! The accounts on lease: /etc/glexec/accounts, one account a line, with its owner if it has one.

use std::path::Path;

use command::refusal::{Refusal, Result};
use error::{Error, Shown};
use sys::Errno;

use crate::mapping::words::words;
use crate::names::is_account_name;
use crate::trusted;

/// The largest file, in bytes.
const LONGEST: u64 = 1 << 24;

/// An account on lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub account: Vec<u8>,
    /// The identity that owns it: a subject, or the name of a calling account. Without an owner it
    /// is a guest account.
    pub owner: Option<Vec<u8>>,
}

/// The accounts of the file.
#[derive(Clone, Debug, Default)]
pub struct AccountList(Vec<Entry>);

impl AccountList {
    /// The file.
    pub const PATH: &'static str = "/etc/glexec/accounts";

    /// Reads the file; an empty list if it does not exist. 202 if it is not trusted, or if a line
    /// is wrong.
    pub fn read() -> Result<AccountList> {
        let text = match trusted::read(Path::new(AccountList::PATH), LONGEST) {
            Err(Error::System { cause: Errno::ENOENT, .. }) => return Ok(AccountList::default()),
            read => read
                .map_err(|error| Refusal::internal(format!("cannot use the accounts: {error}")))?,
        };
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let refused = |why: &str| {
                Refusal::internal(format!("{}, line {number}: {why}", AccountList::PATH))
            };
            let words = words(line).ok_or_else(|| refused("its quotes are not valid"))?;
            let mut words = words.into_iter().map(|word| word.text);
            let Some(account) = words.next() else { continue };
            let (owner, None) = (words.next(), words.next()) else {
                return Err(refused("it is not of the form: account [owner]"));
            };
            if !is_account_name(&account) {
                let why = format!("{} is not the name of an account", Shown(&account));
                return Err(refused(&why));
            }
            if entries.iter().any(|other: &Entry| other.account == account) {
                return Err(refused("a line before it has the same account"));
            }
            entries.push(Entry { account, owner });
        }
        Ok(AccountList(entries))
    }

    /// All accounts, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }
}
