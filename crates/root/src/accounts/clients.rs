//! The users that may connect to the account daemon: /etc/glexec/clients, one user a line.

use std::path::Path;

use command::accounts::Account;
use command::refusal::{Refusal, Result};

use crate::trusted;
use crate::users::UserList;

/// The largest file, in bytes.
const LONGEST: u64 = 1 << 20;

/// The users of the file.
#[derive(Clone, Debug, Default)]
pub struct Clients(UserList);

impl Clients {
    /// The file.
    pub const PATH: &'static str = "/etc/glexec/clients";

    /// Reads the file. 202 if it is missing or not trusted, or if a line is wrong.
    pub fn read() -> Result<Clients> {
        let text = trusted::read(Path::new(Clients::PATH), LONGEST)
            .map_err(|error| Refusal::internal(format!("cannot use the clients: {error}")))?;
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let users: Vec<&[u8]> =
            lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).collect();
        let users = UserList::parse(&users.join(&b','))
            .map_err(|why| Refusal::internal(format!("{}: {why}", Clients::PATH)))?;
        Ok(Clients(users))
    }

    /// Whether an account is listed.
    pub fn contains(&self, account: &Account) -> bool {
        self.0.contains(account)
    }
}
