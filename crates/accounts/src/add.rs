//! `glexec_accounts add`: adds accounts to the list, and makes them.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use command::accounts;
use command::program::{Options, Program, VERSION, option};
use command::refusal::{Refusal, Result};
use command::say;
use error::Shown;
use root::accounts::audit::{self, Event};
use root::accounts::edit;
use root::accounts::list::{self, AccountList, Entry};
use root::accounts::resolve::resolve;
use root::config::Config;

use crate::call::{answer, by, configuration, make_directory, operands};
use crate::create;

/// The command's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec_accounts add",
    about: "Adds accounts to /etc/glexec/accounts.",
    arguments: "[--create] <account> [<owner>]",
    operations: &["--pool <prefix> --count <number>"],
    options: &[
        option("create", "", "Make the account on this machine if it does not exist"),
        option("pool", "<prefix>", "Make and add guest accounts named <prefix>01 and so on"),
        option("count", "<number>", "How many, 1 to 10000"),
        VERSION,
    ],
    text: "\
The owner is the subject of a proxy, as /C=.../O=.../CN=..., or the name of an
account that asks the daemon. Without an owner the account is a guest account:
at the end of each lease all its processes are ended.

An account that is made has no password, no shell for logins, the home
/nonexistent, no subordinate ids, and a group of its own; its ids are at least
min_uid and min_gid (glexec.conf(5)). It needs useradd(8). The accounts of a
pool that exist already must be like this.

What is done already is not done again, so the command can be repeated. The
running daemon reads the list again by itself.

Exit status: 0; 1 an account cannot be used, or is in the list with another
owner: the list is as before.
",
};

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<()> {
    match (options.get("pool"), options.get("count")) {
        (Some(prefix), Some(count)) => {
            operands(options, &PROGRAM, 0, 0)?;
            let count = count.to_str().and_then(|digits| digits.parse().ok());
            let count = count
                .filter(|count| (1..=10_000).contains(count))
                .ok_or_else(|| Refusal::client("--count must be a number from 1 to 10000"))?;
            pool(prefix.as_bytes(), count)
        }
        (None, None) => {
            let words = operands(options, &PROGRAM, 1, 2)?;
            let owner = words.get(1).map(|owner| owner.as_bytes());
            account(words[0].as_bytes(), owner, options.get("create").is_some())
        }
        _ => Err(Refusal::client("--pool and --count must be given together")),
    }
}

/// Adds one account.
pub(crate) fn account(name: &[u8], owner: Option<&[u8]>, creates: bool) -> Result<()> {
    let config = configuration()?;
    if let Some(owner) = owner {
        list::check_owner(owner).map_err(Refusal::client)?;
    }
    let made = creates && create::account(name, &config)?;
    let new = vec![(name.to_vec(), owner.map(<[u8]>::to_vec))];
    let count = add(&new, &config)?;
    if owner.is_none() && !made {
        warn_of_login(name)?;
    }
    let what = match (owner, count) {
        (_, 0) => "is in the list already".to_owned(),
        (None, _) => "is a guest account now".to_owned(),
        (Some(owner), _) => format!("is the account of {} now", Shown(owner)),
    };
    answer(&format!("{}{} {what}\n", if made { "made; " } else { "" }, Shown(name)));
    Ok(())
}

/// A guest account that a person logs in to would lose all processes with each lease.
fn warn_of_login(name: &[u8]) -> Result<()> {
    let is_login = accounts::named(name)?.is_some_and(|found| create::is_used_otherwise(&found));
    if is_login {
        say(
            "glexec_accounts",
            format_args!(
                "warning: {} has a home or a shell: at the end of each lease of a guest account \
                 all processes of the account are ended, also those of a login",
                Shown(name)
            ),
        );
    }
    Ok(())
}

fn pool(prefix: &[u8], count: usize) -> Result<()> {
    let config = configuration()?;
    let names = edit::pool(prefix, count).map_err(Refusal::client)?;
    let listed = AccountList::read()?;
    let listed: HashSet<&[u8]> =
        listed.entries().iter().map(|entry| entry.account.as_slice()).collect();
    // All of them before any is made.
    for name in names.iter().filter(|name| !listed.contains(&name[..])) {
        if accounts::named(name)?.is_some_and(|found| create::is_used_otherwise(&found)) {
            return Err(Refusal::client(format!(
                "the account {} exists and has a home or a shell: a person may use it. Use another \
                 prefix, or add it by its name if it is a guest account",
                Shown(name)
            )));
        }
    }
    let mut made = 0;
    for name in &names {
        made += usize::from(create::account(name, &config)?);
    }
    let new: Vec<_> = names.into_iter().map(|name| (name, None)).collect();
    let added = add(&new, &config)?;
    answer(&format!(
        "{count} guest accounts {}: {made} made, {added} added to the list\n",
        Shown(prefix)
    ));
    Ok(())
}

/// Adds accounts to the list, if all of them can be used. Returns how many are new.
fn add(new: &[(Vec<u8>, Option<Vec<u8>>)], config: &Config) -> Result<usize> {
    let path = Path::new(AccountList::PATH);
    make_directory()?;
    let before = AccountList::read()?;
    let before: HashSet<&[u8]> =
        before.entries().iter().map(|entry| entry.account.as_slice()).collect();
    let count = edit::change(path, AccountList::FIRST, |text| {
        let (text, count) = edit::add(text, path, new)?;
        let list =
            AccountList::parse(&text, path).map_err(|bad| Refusal::internal(bad.to_string()))?;
        usable(list.entries(), new, config)?;
        Ok((text, count))
    })?;
    let by = by();
    for (account, owner) in new.iter().filter(|(account, _)| !before.contains(&account[..])) {
        audit::write(&Event::AccountAdded { account, owner: owner.as_deref(), by });
    }
    Ok(count)
}

/// Refuses a list in which a new account cannot be used.
fn usable(entries: &[Entry], new: &[(Vec<u8>, Option<Vec<u8>>)], config: &Config) -> Result<()> {
    let new: HashSet<&[u8]> = new.iter().map(|(account, _)| account.as_slice()).collect();
    for resolved in resolve(entries, config)? {
        if let (true, Err(why)) = (new.contains(&resolved.entry.account[..]), resolved.target) {
            let name = Shown(&resolved.entry.account);
            return Err(Refusal::client(format!("the account {name} cannot be used: {why}")));
        }
    }
    Ok(())
}
