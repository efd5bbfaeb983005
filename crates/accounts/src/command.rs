//! The commands of `glexec_accounts`, and which of them a call is.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use command::program::{Program, VERSION};
use command::refusal::{Refusal, Result};
use command::say;
use error::Shown;

use crate::call::require_root;
use crate::{add, allow, drain, history, lease, legion, list, release, remove};

/// The program without a command.
pub const PROGRAM: Program = Program {
    name: "glexec_accounts",
    about: "Manages the accounts that the account daemon leases, as root.",
    arguments: "<command> [options]",
    operations: &[],
    options: &[VERSION],
    text: "\
Commands:
  list       the accounts, and who has which
  add        adds accounts to the list, and makes them
  remove     removes accounts from the list
  allow      lets users ask for accounts
  deny       takes that from them
  lease      takes guest accounts out of the pool for a time
  release    ends the leases of accounts, and their payloads
  drain      lets no new lease begin
  undrain    lets leases begin again
  history    who had an account at a time

`glexec_accounts <command> --help` describes a command. Root alone can run them.
They need no running daemon.

An account with an owner is leased for that owner only, and may be his login: at
the end of a lease only his payloads are ended. An account without an owner is a
guest account. It has one lease at a time, and at its end all processes of the
account are ended, and what it has left is removed: so it must be used for
nothing else.

Files:
  /etc/glexec/accounts            the accounts; glexec-accounts(5)
  /etc/glexec/clients             who may ask for them; glexec-clients(5)
  /run/glexec                     the leases and payloads of now
  /var/log/glexec/accounts.jsonl  the audit (audit_file, glexec.conf(5))

Exit status: 0; 1 nothing was done, or not all (the message says why).
",
};

/// The commands.
pub const COMMANDS: [&Program; 10] = [
    &list::PROGRAM,
    &add::PROGRAM,
    &remove::PROGRAM,
    &allow::ALLOW,
    &allow::DENY,
    &lease::PROGRAM,
    &release::PROGRAM,
    &drain::DRAIN,
    &drain::UNDRAIN,
    &history::PROGRAM,
];

/// Runs the program.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default().to_owned();
    let words: Vec<OsString> = words.collect();
    match run(&name, words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            let name = if legion::is_name(&name) { &name } else { OsStr::new(PROGRAM.name) };
            say(&name.to_string_lossy(), refusal);
            ExitCode::FAILURE
        }
    }
}

fn run(name: &OsStr, mut words: Vec<OsString>) -> Result<()> {
    if legion::is_name(name) {
        return legion::run(name, words);
    }
    let is_command = words.first().is_some_and(|word| !word.as_bytes().starts_with(b"-"));
    if !is_command {
        return match PROGRAM.read_words(words).map_err(Refusal::client)? {
            Some(_) => Err(Refusal::client(format!("no command; {}", PROGRAM.usage()))),
            None => Ok(()),
        };
    }
    let command = words.remove(0);
    let is_named =
        |program: &&&Program| program.name.rsplit(' ').next().is_some_and(|name| command == name);
    let Some(program) = COMMANDS.iter().find(is_named) else {
        return Err(Refusal::client(format!(
            "there is no command {}; {}",
            Shown::os(&command),
            PROGRAM.usage()
        )));
    };
    let Some(options) = program.read_anywhere(words).map_err(Refusal::client)? else {
        return Ok(());
    };
    require_root()?;
    match command.to_str() {
        Some("list") => list::run(&options),
        Some("add") => add::run(&options),
        Some("remove") => remove::run(&options),
        Some("allow") => allow::run(&options, true),
        Some("deny") => allow::run(&options, false),
        Some("lease") => lease::run(&options),
        Some("release") => release::run(&options),
        Some("drain") => drain::run(&options, true),
        Some("undrain") => drain::run(&options, false),
        _ => history::run(&options),
    }
}
