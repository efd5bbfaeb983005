//! `glexec_accounts remove`: removes accounts from the list.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use command::program::{Options, Program, VERSION, option};
use command::refusal::{Refusal, Result};
use error::Shown;
use root::accounts::audit::{self, Event};
use root::accounts::edit;
use root::accounts::list::AccountList;
use root::accounts::{State, state};

use crate::call::{answer, by, configuration, operands};
use crate::release;

/// The command's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec_accounts remove",
    about: "Removes accounts from /etc/glexec/accounts.",
    arguments: "[--release] <account>...",
    operations: &[],
    options: &[option("release", "", "End the leases and payloads of the accounts first"), VERSION],
    text: "\
An account that has a lease is not removed, unless --release is given. The
account itself stays on this machine: userdel(8) removes it.

Exit status: 0; 1 an account has a lease, or is not in the list: the list is as
before.
",
};

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<()> {
    let words = operands(options, &PROGRAM, 1, usize::MAX)?;
    let names: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    accounts(&names, options.get("release").is_some())
}

/// Removes accounts.
pub(crate) fn accounts(names: &[Vec<u8>], releases: bool) -> Result<()> {
    configuration()?;
    let path = Path::new(AccountList::PATH);
    edit::change(path, AccountList::FIRST, |text| {
        let (text, count) = edit::remove(text, path, names)?;
        if count < names.len() {
            return Err(Refusal::client(not_listed(names)?));
        }
        for name in names.iter().filter(|_| !releases) {
            require_free(name)?;
        }
        Ok((text, ()))
    })?;
    let by = by();
    for account in names {
        audit::write(&Event::AccountRemoved { account, by });
    }
    // After it is out of the list, no new lease of it begins.
    let mut text = String::new();
    for name in names {
        let released = if releases { release::account(name)? } else { String::new() };
        text.push_str(&format!("{} is not in the list any more{released}\n", Shown(name)));
    }
    answer(&text);
    Ok(())
}

fn not_listed(names: &[Vec<u8>]) -> Result<String> {
    let list = AccountList::read()?;
    let is_listed = |name: &&Vec<u8>| list.entries().iter().any(|entry| entry.account == **name);
    Ok(match names.iter().find(|name| !is_listed(name)) {
        Some(name) => format!("{} is not in {}", Shown(name), AccountList::PATH),
        None => "an account is named twice".to_owned(),
    })
}

fn require_free(name: &[u8]) -> Result<()> {
    let why = match state(name)? {
        State::Free => return Ok(()),
        State::Leased(_) => "has a lease",
        State::Ending => "is being cleaned after a lease",
        State::Quarantined(_) => "could not be cleaned after a lease",
    };
    Err(Refusal::client(format!(
        "{} {why}: wait for its end, or give --release, which ends it",
        Shown(name)
    )))
}
