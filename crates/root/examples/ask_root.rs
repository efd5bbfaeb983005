//! Asks this crate, for its tests; never installed. Each line of standard input is a question of
//! words with tabs between, and gets one line as its answer:
//!
//! - `subject <mode> <subject>` and `caller <mode> <account> <path>`: the account of a credential;
//! - `drop`: what the answers so far hold is closed;
//! - `load`, `check`: the configuration; of the findings only the first line;
//! - `may <account>`: whether the account may call.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, Write as _};

use command::accounts;
use command::location::Location;
use command::refusal::{Refusal, Result};
use root::check::check_config;
use root::config::Config;
use root::mapping::{self, Identity, Mapped, Mode};

fn main() {
    let mut held = Vec::new();
    for line in std::io::stdin().lock().lines().map_while(std::io::Result::ok) {
        let words: Vec<&str> = line.split('\t').collect();
        let answer = match answer(&words, &mut held) {
            Ok(answer) => format!("ok\t{answer}"),
            Err(refusal) => format!("{}\t{refusal}", refusal.status as u8),
        };
        println!("{answer}");
        let _ = std::io::stdout().flush();
    }
}

fn answer(words: &[&str], held: &mut Vec<Option<File>>) -> Result<String> {
    let mut map = |identity: &Identity<'_>, mode: &str| {
        let mode = Mode::from_variable(Some(OsStr::new(mode)))?;
        let Mapped { target, lease } = mapping::map(&Config::load()?, identity, mode)?;
        held.push(lease);
        let mut answer = String::from_utf8_lossy(&target.account.name).into_owned();
        for group in &target.groups {
            let _ = write!(answer, " {group}");
        }
        Ok(answer)
    };
    match words {
        ["subject", mode, subject] => map(&Identity::Subject(subject.as_bytes()), mode),
        ["caller", mode, account, path] => {
            let account = account_named(account)?;
            let credential = Location::of(path.into())
                .map_err(|cause| Refusal::client(format!("{path}: {cause}")))?;
            map(&Identity::Caller { account: &account, credential: &credential }, mode)
        }
        ["drop"] => {
            held.clear();
            Ok(String::new())
        }
        ["load"] => Ok(format!("{:?}", Config::load()?)),
        ["check"] => {
            let findings: Vec<String> = check_config()?.iter().map(ToString::to_string).collect();
            Ok(findings.join("\t"))
        }
        ["may", account] => {
            Config::load()?.user_white_list.require_caller(&account_named(account)?)?;
            Ok(String::new())
        }
        _ => Err(Refusal::client("there is no such question")),
    }
}

fn account_named(name: &str) -> Result<accounts::Account> {
    let found = accounts::named(name.as_bytes())?;
    found.ok_or_else(|| Refusal::client(format!("there is no account {name}")))
}
