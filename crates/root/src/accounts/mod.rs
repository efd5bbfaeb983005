//! Accounts on lease, for the account daemon: who may ask for them, which there are, and which
//! client has which one until when.
//!
//! What root writes:
//!
//! - [`clients`]: the users that may connect to the daemon;
//! - [`list`]: the accounts, and who owns which;
//! - [`list_file`]: such a file, which is read again when it has changed;
//! - [`resolve`]: the accounts of the list as this machine has them now;
//! - [`edit`]: changes of the list, each atomic.
//!
//! What is known of leases, in /run/glexec:
//!
//! - `table`: the directory of each account, with `record`, a lease, and `payloads`;
//! - `queue`: the calls that wait for a guest account;
//! - [`connections`]: which processes serve which client.
//!
//! What is done:
//!
//! - [`lease`]: an account for a call; [`reserve`]: one for an administrator;
//! - [`end`]: the end of leases; `leftovers`: what a guest has left.
//!
//! What is told of it:
//!
//! - [`audit`]: who had which account when.

pub mod audit;
pub mod clients;
pub mod connections;
pub mod edit;
pub mod end;
pub mod lease;
mod leftovers;
pub mod list;
pub mod list_file;
pub mod payloads;
mod queue;
mod record;
pub mod reserve;
pub mod resolve;
mod table;

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use command::refusal::{Refusal, Result};
use error::Shown;
use sys::Uid;

use self::payloads::{PayloadRecord, Registered};
pub use self::record::{Identity, LeaseRecord};
pub use self::table::DRAIN;
use self::table::{Slot, Table};

/// The largest list, in bytes.
pub const LONGEST: u64 = 1 << 20;

/// The most entries of a list.
pub const MOST: usize = 100_000;

/// A line that is not understood. `Display` gives one line: file, line, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The file.
    pub path: PathBuf,
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub why: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: {}", Shown::os(&self.path), self.line, self.why)
    }
}

impl std::error::Error for BadLine {}

/// What is wrong with a line.
pub(crate) type Wrong = String;

/// Reads each line by `parse`, which gets its number, too, and returns nothing for a blank line or
/// a comment.
pub(crate) fn each_line<T>(
    text: &[u8],
    path: &Path,
    mut parse: impl FnMut(&[u8], usize) -> std::result::Result<Option<T>, Wrong>,
) -> std::result::Result<Vec<T>, BadLine> {
    let mut entries = Vec::new();
    for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let bad = |why: Wrong| BadLine { path: path.to_owned(), line, why };
        entries.extend(parse(bytes, line).map_err(bad)?);
        if entries.len() > MOST {
            return Err(bad(format!("there are more than {MOST} entries")));
        }
    }
    Ok(entries)
}

/// All leases of this machine.
pub fn leases() -> Result<Vec<LeaseRecord>> {
    Ok(Slot::all()?.iter().flat_map(Slot::leases).collect())
}

/// The payloads of an account, with those whose end is kept for their client.
pub fn payloads(account: &[u8]) -> Result<Vec<PayloadRecord>> {
    Ok(payloads::of(&Slot::of(account)?))
}

/// What an account is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has no lease.
    Free,
    /// It has this many leases.
    Leased(usize),
    /// A lease is over, and the account is being cleaned.
    Ending,
    /// It could not be cleaned, for this reason.
    Quarantined(String),
}

/// What an account is used for.
pub fn state(account: &[u8]) -> Result<State> {
    let slot = Slot::of(account)?;
    Ok(match (slot.quarantine(), slot.is_ending(), slot.leases().len()) {
        (Some(why), ..) => State::Quarantined(why),
        (None, true, _) => State::Ending,
        (None, false, 0) => State::Free,
        (None, false, count) => State::Leased(count),
    })
}

/// The accounts that are not free, whether or not they are in the list.
pub fn used() -> Result<Vec<Vec<u8>>> {
    let used = Slot::all()?.into_iter().filter(|slot| !slot.is_free());
    Ok(used.map(|slot| slot.account().to_vec()).collect())
}

/// Lets no new lease begin, or lets leases begin again. Returns whether that is a change.
pub fn set_drain(drains: bool) -> Result<bool> {
    table::set_drain(drains)
}

/// Registers a payload of this process: it is one of the account until the file is closed. 202 if
/// its lease has ended meanwhile: what runs would belong to no lease.
pub fn register(account: &[u8], record: PayloadRecord) -> Result<Registered> {
    let slot = Slot::of(account)?;
    let _table = Table::lock()?;
    if slot.lease_of(record.client).is_none_or(|lease| lease.lease != record.lease) {
        return Err(Refusal::internal("the lease has ended while the call began: try again"));
    }
    Registered::new(&slot, record)
}

/// Ends the payloads of a client in an account. Returns how many there were.
pub fn end_payloads(account: &[u8], client: Uid) -> Result<usize> {
    end::end_payloads(&Slot::of(account)?, |uid| uid == client)
}

/// A number for a lease or a payload: 16 hexadecimal digits that no other one has. From the kernel:
/// the processes of this program are copies of one.
pub fn new_id() -> String {
    let mut bytes = [0; 8];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        bytes = fastrand::u64(..).to_ne_bytes();
    }
    format!("{:016x}", u64::from_ne_bytes(bytes))
}
