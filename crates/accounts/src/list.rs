//! `glexec_accounts list`: the accounts, and who has which.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use command::log::Line;
use command::program::{Options, Program, VERSION, option};
use command::refusal::Result;
use error::Shown;
use root::accounts::list::AccountList;
use root::accounts::resolve::resolve;
use root::accounts::{LeaseRecord, State, leases, payloads, state, used};

use crate::call::{answer, configuration, operands};
use crate::output::{array, row, table, time};

/// The command's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec_accounts list",
    about: "Lists the accounts, and who has which.",
    arguments: "[--json]",
    operations: &[],
    options: &[option("json", "", "Print one JSON array of objects instead of a table"), VERSION],
    text: "\
Each account has: its user id, its owner (- for a guest account), its state, and
for each lease the client, when it ends unless it is used, how many payloads
run, and whose credential it is for.

The state is free, leased, ending (the lease is over, and the account is being
cleaned), quarantined or unusable; the last two with the reason. An account that
is not in the list any more, but has a lease, is shown with its lease.

The members of JSON are account, uid, owner, listed, state, why, and leases with
lease, client, client_name, identity, begun, until, used (seconds since 1970)
and payloads; what there is not is null.

Exit status: 0; 1 a list cannot be read.
",
};

/// An account that is shown.
struct Row {
    account: Vec<u8>,
    uid: Option<u32>,
    owner: Option<Vec<u8>>,
    is_listed: bool,
    state: State,
    unusable: Option<String>,
    leases: Vec<LeaseRecord>,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<()> {
    operands(options, &PROGRAM, 0, 0)?;
    let shown = accounts()?;
    answer(&match options.get("json") {
        Some(_) => array(&shown.iter().map(object).collect::<Result<Vec<_>>>()?),
        None => rows(&shown)?,
    });
    Ok(())
}

fn accounts() -> Result<Vec<Row>> {
    let config = configuration()?;
    let list = AccountList::read()?;
    let others = used()?.into_iter().map(|account| (account, Vec::new()));
    let mut of_account: BTreeMap<Vec<u8>, Vec<LeaseRecord>> = others.collect();
    for lease in leases()? {
        of_account.entry(lease.account.clone()).or_default().push(lease);
    }
    let mut shown = Vec::new();
    for resolved in resolve(list.entries(), &config)? {
        let entry = resolved.entry;
        let (uid, unusable) = match resolved.target {
            Ok(target) => (Some(target.account.user.as_raw()), None),
            Err(why) => (None, Some(why)),
        };
        shown.push(Row {
            uid,
            unusable,
            state: state(&entry.account)?,
            leases: of_account.remove(&entry.account).unwrap_or_default(),
            account: entry.account,
            owner: entry.owner,
            is_listed: true,
        });
    }
    for (account, leases) in of_account {
        shown.push(Row {
            uid: leases.first().map(|lease| lease.uid.as_raw()),
            state: state(&account)?,
            account,
            owner: None,
            is_listed: false,
            unusable: None,
            leases,
        });
    }
    Ok(shown)
}

impl Row {
    /// The state as a word, and the reason.
    fn state(&self) -> (&'static str, Option<&str>) {
        match (&self.state, &self.unusable) {
            (State::Quarantined(why), _) => ("quarantined", Some(why)),
            (State::Leased(_), _) => ("leased", None),
            (State::Ending, _) => ("ending", None),
            (State::Free, Some(why)) => ("unusable", Some(why)),
            (State::Free, None) => ("free", None),
        }
    }

    /// How many payloads each lease has.
    fn payloads(&self) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        if self.leases.is_empty() {
            return Ok(counts);
        }
        let running = payloads(&self.account)?.into_iter().filter(|payload| payload.is_running);
        for payload in running {
            *counts.entry(payload.lease).or_default() += 1;
        }
        Ok(counts)
    }
}

fn rows(shown: &[Row]) -> Result<String> {
    let mut rows = vec![row([
        "ACCOUNT",
        "UID",
        "OWNER",
        "STATE",
        "CLIENT",
        "UNTIL",
        "PAYLOADS",
        "IDENTITY OR REASON",
    ])];
    for account in shown {
        let (state, why) = account.state();
        let counts = account.payloads()?;
        let uid = account.uid.map_or_else(|| "-".to_owned(), |uid| uid.to_string());
        let owner = match (&account.owner, account.is_listed) {
            (Some(owner), _) => Shown(owner).to_string(),
            (None, true) => "-".to_owned(),
            (None, false) => "(not listed)".to_owned(),
        };
        let name = Shown(&account.account).to_string();
        let first = [&name[..], &uid, &owner, state];
        if account.leases.is_empty() {
            let rest = ["-", "-", "-", why.unwrap_or("-")];
            rows.push(first.iter().chain(&rest).map(|cell| (*cell).to_owned()).collect());
        }
        for (number, lease) in account.leases.iter().enumerate() {
            let first = if number == 0 { first } else { [""; 4] };
            let count = counts.get(&lease.lease).copied().unwrap_or(0).to_string();
            let rest = [
                Shown(&lease.client_name).to_string(),
                time(Duration::from_secs(lease.until)),
                count,
                Shown(lease.identity.value()).to_string(),
            ];
            rows.push(first.iter().map(|cell| (*cell).to_owned()).chain(rest).collect());
        }
    }
    Ok(table(&rows))
}

fn object(account: &Row) -> Result<String> {
    let (state, why) = account.state();
    let counts = account.payloads()?;
    let mut line = Line::default();
    line.text("account", Some(&Shown(&account.account).to_string()));
    match account.uid {
        Some(uid) => line.json("uid", uid),
        None => line.json("uid", "null"),
    };
    let owner = account.owner.as_ref().map(|owner| Shown(owner).to_string());
    for (name, value) in [("owner", owner.as_deref()), ("why", why)] {
        match value {
            Some(value) => line.text(name, Some(value)),
            None => line.json(name, "null"),
        };
    }
    line.json("listed", account.is_listed).text("state", Some(state));
    let leases: Vec<String> = account.leases.iter().map(|record| lease(record, &counts)).collect();
    line.json("leases", format_args!("[{}]", leases.join(",")));
    Ok(line.to_object())
}

fn lease(lease: &LeaseRecord, counts: &BTreeMap<String, usize>) -> String {
    let mut line = Line::default();
    line.text("lease", Some(&lease.lease)).json("client", lease.client);
    line.text("client_name", Some(&Shown(&lease.client_name).to_string()));
    line.text("identity", Some(&Shown(lease.identity.value()).to_string()));
    line.json("begun", lease.begun).json("until", lease.until).json("used", lease.used);
    line.json("payloads", counts.get(&lease.lease).copied().unwrap_or(0));
    line.to_object()
}

/// The accounts under the name that Legion's command has for this.
pub(crate) fn legion() -> Result<()> {
    let list = AccountList::read()?;
    let leased: BTreeSet<Vec<u8>> = leases()?.into_iter().map(|lease| lease.account).collect();
    let mut rows = Vec::new();
    for entry in list.entries() {
        let owner = match &entry.owner {
            Some(owner) => format!("owner {}", Shown(owner)),
            None => "guest".to_owned(),
        };
        let state = if leased.contains(&entry.account) { "leased" } else { "free" };
        rows.push(row([&Shown(&entry.account).to_string(), state, &owner]));
    }
    answer(&table(&rows));
    Ok(())
}
