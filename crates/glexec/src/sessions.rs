//! `glexec_sessions`: lists the sessions of this machine's payloads, and of the caller's.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use command::log::Line;
use command::program::{Options, Program, VERSION, option, print};
use command::refusal::{Refusal, Result};
use command::utc::Utc;
use command::{Parsed, say};
use error::Shown;
use hooks::session::{self, Facts};
use sys::process;

use crate::lease;

/// The program's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec_sessions",
    about: "Lists the sessions of payloads that run.",
    arguments: "[--json] [--user <user>]",
    operations: &[],
    options: &[
        option("json", "", "Print one JSON array of objects instead of a table"),
        option("user", "<user>", "Only the sessions of this payload user: a name or user id"),
        VERSION,
    ],
    text: "\
A session is one payload around which glexec runs session scripts. This program
reads the registry of this machine, /run/glexec, and the one of your own calls
without privilege: in GLEXEC_STATE_DIR, or in the default directory of leases.
It runs no script and changes nothing. A payload without any session script is
not listed.

Each session has: its id, when it began, the caller, the payload's user, the
process above the payload, the sandbox if there is one, and the command. In
JSON: id, since (seconds since 1970), caller, user, uid, gid, pid, sandbox (or
null), command, and credential (null if you may not read it).

Exit status: 0; 1 usage error.
",
};

/// Runs the program.
pub fn main() -> ExitCode {
    let options = match PROGRAM.read(std::env::args_os().skip(1)) {
        Ok(Parsed::Words(words)) if words.is_empty() => Ok(Options::default()),
        Ok(Parsed::Options(options)) if options.command().is_empty() => Ok(options),
        Ok(Parsed::Help) => {
            print(&PROGRAM.help());
            return ExitCode::SUCCESS;
        }
        Ok(Parsed::Option(_)) => {
            print(&PROGRAM.version());
            return ExitCode::SUCCESS;
        }
        Ok(_) => Err(format!("it takes no command; {}", PROGRAM.usage())),
        Err(error) => Err(error),
    };
    match options.map_err(Refusal::client).and_then(|options| listed(&options)) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            say(PROGRAM.name, refusal);
            ExitCode::FAILURE
        }
    }
}

fn listed(options: &Options) -> Result<String> {
    let mut sessions = session::list(root::SESSION_REGISTRY.as_ref());
    let state = std::env::var_os("GLEXEC_STATE_DIR").filter(|value| !value.is_empty());
    let own = match state {
        Some(state) => Some(PathBuf::from(state)),
        None => lease::default_directory(process::geteuid())?,
    };
    sessions.extend(own.iter().flat_map(|directory| session::list(directory)));
    if let Some(user) = options.get("user") {
        let is = |facts: &Facts| {
            facts.user == user.as_encoded_bytes() || user == facts.uid.to_string().as_str()
        };
        sessions.retain(is);
    }
    sessions.sort_by(|one, other| (one.since, &one.id).cmp(&(other.since, &other.id)));
    Ok(match options.get("json") {
        Some(_) => {
            let objects: Vec<String> = sessions.iter().map(object).collect();
            format!("[{}]\n", objects.join(",\n"))
        }
        None => table(&sessions),
    })
}

fn object(facts: &Facts) -> String {
    let shown = |bytes: &[u8]| (!bytes.is_empty()).then(|| Shown(bytes).to_string());
    let mut line = Line::default();
    line.text("id", Some(&facts.id)).json("since", facts.since);
    line.text("caller", shown(&facts.caller).as_deref());
    line.text("user", shown(&facts.user).as_deref());
    line.json("uid", facts.uid).json("gid", facts.gid).json("pid", facts.pid);
    for (name, path) in [("sandbox", &facts.sandbox), ("credential", &facts.credential)] {
        match shown(path) {
            Some(path) => line.text(name, Some(&path)),
            None => line.json(name, "null"),
        };
    }
    line.text("command", Some(&facts.command));
    line.to_object()
}

fn table(sessions: &[Facts]) -> String {
    let heading = ["ID", "SINCE", "CALLER", "USER", "PID", "SANDBOX", "COMMAND"].map(str::to_owned);
    let row = |facts: &Facts| {
        [
            facts.id.clone(),
            Utc::of(facts.since).to_string(),
            Shown(&facts.caller).to_string(),
            Shown(&facts.user).to_string(),
            facts.pid.to_string(),
            match &facts.sandbox[..] {
                [] => "-".to_owned(),
                sandbox => Shown(sandbox).to_string(),
            },
            facts.command.clone(),
        ]
    };
    let rows: Vec<[String; 7]> = std::iter::once(heading).chain(sessions.iter().map(row)).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate().take(6) {
            let widths = rows.iter().map(|row| row[column].chars().count());
            let _ = write!(text, "{cell:0$}  ", widths.max().unwrap_or(0));
        }
        let _ = writeln!(text, "{}", row[6]);
    }
    text
}
