//! Accounts on lease, for the account daemon: who may ask for them, which there are, and which
//! client has which one until when.
//!
//! What root writes:
//!
//! - [`clients`]: the users that may connect to the daemon;
//! - [`list`]: the accounts, and who owns which.
//!
//! What is known of leases, in /run/glexec:
//!
//! - `table`: the directory of each account, with `record`, a lease, and [`payloads`];
//! - `queue`: the calls that wait for a guest account.
//!
//! What is done:
//!
//! - [`lease`]: an account for a call;
//! - [`end`]: the end of leases; [`leftovers`]: what a guest has left.
//!
//! What is told of it:
//!
//! - [`audit`]: who had which account when.

pub mod audit;
pub mod clients;
pub mod end;
pub mod lease;
mod leftovers;
pub mod list;
pub mod payloads;
mod queue;
mod record;
mod table;

use std::io::Read as _;

use command::refusal::Result;
use sys::Uid;

use self::payloads::{PayloadRecord, Registered};
pub use self::record::{Identity, LeaseRecord};
pub use self::table::DRAIN;
use self::table::Slot;

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

/// Registers a payload of this process: it is one of the account until the file is closed.
pub fn register(account: &[u8], record: PayloadRecord) -> Result<Registered> {
    Registered::new(&Slot::of(account)?, record)
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
