//! What kill reports about a family or an account.

use serde_json::{Value, json};
use sys::signal;
use sys::signal::{SIGCONT, SIGKILL, SIGSTOP};
use wire::Hunt;

use crate::batch::report::Hunted;

/// The report as a line of text.
pub fn line(hunted: &Hunted) -> String {
    let Hunted { signal: number, account, hunt, remains, .. } = hunted;
    let Hunt { processes, rounds, unclassified, left, remains: found, removed } = hunt;
    let did = match *number {
        SIGKILL => "killed".to_owned(),
        SIGSTOP => "stopped".to_owned(),
        SIGCONT => "continued".to_owned(),
        number => format!("sent {} to", signal::name(number)),
    };
    let scope = if *account { "the account" } else { "1 family" };
    let (processes, rounds) =
        (counted(*processes, "process", "es"), counted(*rounds, "round", "s"));
    let mut line = format!("{did} {processes} of {scope} in {rounds}; {left} left");
    if *unclassified > 0 {
        line += &format!(
            "; {} of the job user may belong to it (environment unreadable or overwritten)",
            counted(*unclassified, "other process", "es")
        );
    }
    if *account && *found > 0 {
        let more = if remains.len() as u64 == *found { "" } else { ", and others" };
        line += &format!(
            "; the account left {found} files, directories and System V IPC objects, {removed} \
             removed: {}{more}",
            remains.join(", ")
        );
    }
    line
}

fn counted(number: u64, what: &str, plural: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { plural })
}

/// The report as JSON; also a part of the log line.
pub fn json(hunted: &Hunted) -> Value {
    let Hunted { signal: number, account, hunt, survivors, remains } = hunted;
    let Hunt { processes, rounds, unclassified, left, remains: found, removed } = hunt;
    let survivors: Vec<Value> = survivors
        .iter()
        .map(|(pid, text)| json!({ "pid": pid.as_raw(), "reason": text }))
        .collect();
    let mut line = json!({
        "signal": signal::name(*number),
        "scope": if *account { "account" } else { "family" },
        "processes": processes,
        "rounds": rounds,
        "unclassified": unclassified,
        "left": left,
        "survivors": survivors,
    });
    if *account {
        line["remains"] = json!({ "found": found, "removed": removed, "examples": remains });
    }
    line
}
