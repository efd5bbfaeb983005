//! `glexec_accounts history`: who had an account at a time, as the audit tells it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use command::accounts;
use command::log::Line;
use command::program::{Options, Program, VERSION, option};
use command::refusal::{Refusal, Result};
use command::{say, utc};
use error::Shown;
use root::accounts::audit::history::{History, Lease, Payload};
use root::accounts::audit::record::Record;

use crate::call::{answer, configuration, operands};
use crate::output::{array, printable, row, table, time};

/// The command's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec_accounts history",
    about: "Tells who had an account at a time.",
    arguments: "[--uid <uid> | --account <name>] --at <time>",
    operations: &["[--uid <uid> | --account <name>] --since <time>"],
    options: &[
        option("uid", "<uid>", "Only the account with this user id"),
        option("account", "<name>", "Only this account"),
        option("at", "<time>", "The leases at this time, and the payloads that ran then"),
        option("since", "<time>", "The leases and payloads from this time on"),
        option("until", "<time>", "Up to this time (default: now)"),
        option("file", "<path>", "The audit; - for standard input"),
        option("json", "", "Print one JSON array of objects instead of a table"),
        VERSION,
    ],
    text: "\
It reads the audit (audit_file, glexec.conf(5)) and its older files, whose names
are that of the audit and .1 or -20261130 and so on. It reads no compressed
files:
  zcat accounts.jsonl.*.gz | cat - accounts.jsonl | \\
      glexec_accounts history --uid 5003 --at '2026-11-24 03:10' --file -

A time is in UTC: 2026-11-24 03:10[:SS], 2026-11-24T03:10:00Z, also with an
offset (2026-11-24T04:10:00+01:00), or @ and seconds since 1970. date(1) makes
the last one from a local time:
  glexec_accounts history --uid 5003 --at @$(date -d 'last tuesday 3:10' +%s)

Each row is a lease, and each payload of it that ran then. `<` is a beginning
before the first line of the audit, `-` an end that the audit does not tell: it
goes on. The members of JSON are lease, account, uid, kind (guest or owned),
client, client_name, identity, begun, ended, reason, and payloads with payload,
pid, command, begun, ended and end; what is not known is null.

Exit status: 0, also if there was no lease; 1 the audit cannot be read or does
not go back to the time.
",
};

/// What is asked for.
struct Asked {
    uid: Option<u32>,
    since: Duration,
    until: Duration,
    is_moment: bool,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> Result<()> {
    operands(options, &PROGRAM, 0, 0)?;
    let config = configuration()?;
    let asked = Asked::of(options)?;
    let mut history = History::new(asked.uid);
    let mut skipped = 0;
    match (options.get("file"), &config.audit_file) {
        (Some(path), _) if path == "-" => skipped += read(std::io::stdin(), &mut history, "-")?,
        (Some(path), _) => skipped += read_file(Path::new(path), &mut history)?,
        (None, None) => {
            return Err(Refusal::client(
                "audit_file is empty in the configuration: the audit is in the system log only",
            ));
        }
        (None, Some(path)) => {
            for path in files(path)? {
                skipped += read_file(&path, &mut history)?;
            }
        }
    }
    if skipped > 0 {
        say("glexec_accounts", format_args!("warning: {skipped} lines are not understood"));
    }
    let leases = match asked.is_moment {
        true => history.at(asked.since),
        false => history.between(asked.since, asked.until),
    };
    let first = history.first();
    if let Some(first) = first.filter(|first| !asked.is_moment && asked.since < *first) {
        say("glexec_accounts", format_args!("the audit begins at {}", time(first)));
    } else if leases.is_empty() && first.is_none_or(|first| asked.since < first) {
        return Err(Refusal::client(match first {
            None => "the audit is empty".to_owned(),
            Some(first) => {
                format!("the audit begins at {}: what was before is not known", time(first))
            }
        }));
    }
    answer(&match options.get("json") {
        Some(_) => array(&leases.iter().map(object).collect::<Vec<_>>()),
        None => rows(&leases),
    });
    Ok(())
}

impl Asked {
    fn of(options: &Options) -> Result<Asked> {
        let uid = match (options.get("uid"), options.get("account")) {
            (Some(uid), None) => Some(number(uid)?),
            (None, Some(name)) => Some(uid_of(name)?),
            (None, None) => None,
            _ => return Err(Refusal::client("--uid and --account exclude each other")),
        };
        let time = |name: &str| options.get(name).map(moment).transpose();
        match (time("at")?, time("since")?, time("until")?) {
            (Some(at), None, None) => Ok(Asked { uid, since: at, until: at, is_moment: true }),
            (None, Some(since), until) => {
                let until = until.unwrap_or_else(utc::now);
                Ok(Asked { uid, since, until, is_moment: false })
            }
            _ => Err(Refusal::client(
                "one of --at and --since is needed, and --until is for --since",
            )),
        }
    }
}

fn number(word: &OsStr) -> Result<u32> {
    let number = word.to_str().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Refusal::client(format!("{} is no user id", Shown::os(word))))
}

fn uid_of(name: &OsStr) -> Result<u32> {
    let account = accounts::named(name.as_bytes())?.ok_or_else(|| {
        let name = Shown::os(name);
        Refusal::client(format!("there is no account {name}: give the user id that it had (--uid)"))
    })?;
    Ok(account.user.as_raw())
}

/// A time that a user has written.
pub(crate) fn moment(word: &OsStr) -> Result<Duration> {
    word.to_str().and_then(utc::parse).ok_or_else(|| {
        Refusal::client(format!(
            "{} is no time: write it as 2026-11-24 03:10:00 (UTC), 2026-11-24T03:10:00Z, or @ and \
             seconds since 1970",
            Shown::os(word)
        ))
    })
}

/// The audit and its older files, in the order of their first lines.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let directory = path.parent().unwrap_or(path);
    let name = path.file_name().unwrap_or_default().as_bytes();
    let failed = |error: std::io::Error| {
        Refusal::client(format!("cannot read {}: {error}", Shown::os(directory)))
    };
    let (mut found, mut compressed) = (Vec::new(), 0);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let other = entry.map_err(failed)?.file_name();
        let Some(suffix) = other.as_bytes().strip_prefix(name) else { continue };
        match suffix {
            [] => {}
            [b'.' | b'-', rest @ ..] if rest.iter().all(|b| b.is_ascii_digit() || *b == b'-') => {}
            [b'.' | b'-', ..] => {
                compressed += usize::from(!suffix.ends_with(b"~"));
                continue;
            }
            _ => continue,
        }
        let path = directory.join(&other);
        found.extend(first_time(&path)?.map(|first| (first, path)));
    }
    if compressed > 0 {
        say(
            "glexec_accounts",
            format_args!(
                "warning: {compressed} compressed files of the audit were not read: give them by \
                 zcat and --file -"
            ),
        );
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The time of the first line that is understood.
fn first_time(path: &Path) -> Result<Option<Duration>> {
    let mut first = None;
    each(open(path)?, path, |record| {
        first = record.map(|record| record.time);
        first.is_none()
    })?;
    Ok(first)
}

fn read_file(path: &Path, history: &mut History) -> Result<usize> {
    read(open(path)?, history, path)
}

fn open(path: &Path) -> Result<File> {
    File::open(path)
        .map_err(|error| Refusal::client(format!("cannot read {}: {error}", Shown::os(path))))
}

/// Adds the lines of a file. Returns how many of them are not understood.
fn read(from: impl Read, history: &mut History, path: impl AsRef<OsStr>) -> Result<usize> {
    let mut skipped = 0;
    each(from, path, |record| {
        match record {
            Some(record) => history.add(&record),
            None => skipped += 1,
        }
        true
    })?;
    Ok(skipped)
}

/// Calls `take` for each line that is not blank, until it returns false; with none for a line that
/// is not understood, or is longer than any line of the audit.
fn each(
    from: impl Read,
    path: impl AsRef<OsStr>,
    mut take: impl FnMut(Option<Record>) -> bool,
) -> Result<()> {
    const LONGEST: u64 = 1 << 16;
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length =
            reader.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(|error| {
                Refusal::client(format!("cannot read {}: {error}", Shown::os(&path)))
            })?;
        if length == 0 {
            return Ok(());
        }
        let text = line.trim_ascii_end();
        if !text.is_empty() && !take(Record::parse(text)) {
            return Ok(());
        }
    }
}

fn rows(leases: &[Lease]) -> String {
    let mut rows = vec![row([
        "ACCOUNT",
        "UID",
        "KIND",
        "CLIENT",
        "BEGUN",
        "ENDED",
        "PID",
        "IDENTITY OR COMMAND",
    ])];
    for lease in leases {
        let ended = ended(lease.ended.as_ref());
        rows.push(row([
            &printable(&lease.account),
            &lease.uid.to_string(),
            &printable(&lease.kind),
            &client(lease),
            &begun(lease.begun),
            &ended,
            "",
            &printable(&lease.identity),
        ]));
        for payload in &lease.payloads {
            let pid = payload.pid.map_or_else(String::new, |pid| pid.to_string());
            let command = payload.command.as_deref().unwrap_or("");
            rows.push(row([
                "",
                "",
                "",
                "",
                &begun(payload.begun),
                &self::ended(payload.ended.as_ref()),
                &pid,
                &format!("  {}", printable(command)),
            ]));
        }
    }
    table(&rows)
}

fn client(lease: &Lease) -> String {
    match lease.client_name.as_str() {
        "" => lease.client.to_string(),
        name => printable(name),
    }
}

fn begun(begun: Option<Duration>) -> String {
    begun.map_or_else(|| "<".to_owned(), time)
}

fn ended(ended: Option<&(Duration, String)>) -> String {
    ended.map_or_else(|| "-".to_owned(), |(at, how)| format!("{} {}", time(*at), printable(how)))
}

fn object(lease: &Lease) -> String {
    let mut line = Line::default();
    line.text("lease", Some(&lease.lease)).text("account", Some(&lease.account));
    line.json("uid", lease.uid).text("kind", Some(&lease.kind));
    line.json("client", lease.client).text("client_name", Some(&lease.client_name));
    line.text("identity", Some(&lease.identity));
    times(&mut line, lease.begun, lease.ended.as_ref(), "reason");
    let payloads: Vec<String> = lease.payloads.iter().map(payload).collect();
    line.json("payloads", format_args!("[{}]", payloads.join(",")));
    line.to_object()
}

fn payload(payload: &Payload) -> String {
    let mut line = Line::default();
    line.text("payload", Some(&payload.payload));
    match payload.pid {
        Some(pid) => line.json("pid", pid),
        None => line.json("pid", "null"),
    };
    text(&mut line, "command", payload.command.as_deref());
    times(&mut line, payload.begun, payload.ended.as_ref(), "end");
    line.to_object()
}

fn times(line: &mut Line, begun: Option<Duration>, ended: Option<&(Duration, String)>, how: &str) {
    text(line, "begun", begun.map(utc::with_milliseconds).as_deref());
    text(line, "ended", ended.map(|(at, _)| utc::with_milliseconds(*at)).as_deref());
    text(line, how, ended.map(|(_, how)| how.as_str()));
}

fn text(line: &mut Line, name: &str, value: Option<&str>) {
    match value {
        Some(value) => line.text(name, Some(value)),
        None => line.json(name, "null"),
    };
}
