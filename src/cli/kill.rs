//! `condor_glexec_kill`

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches};
use command::log::sandbox_of_credential;
use error::Shown;
use serde_json::{Value, json};
use sys::Pid;
use sys::signal::{self, SIGCONT, SIGKILL, SIGSTOP, SIGTERM};
use wire::Hunt;

use super::Exit;
use crate::batch::identity::request_of;
use crate::batch::kill::{self, KillRequest, Scope};
use crate::batch::report::Hunted;
use crate::batch::switcher::Switcher;
use crate::batch::{Failure, Report};

/// What plain calls with SIGKILL do: `process` or `family`.
const NAME: &str = "GLEXEC_HELPERS_KILL";

/// The command's definition.
pub fn definition() -> clap::Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    super::define(
        "condor_glexec_kill",
        "Sends a signal to a process of the job user's, or to a whole family.",
        "\
Arguments:
  <glexec>       the identity switcher
  <proxy-path>   the path of the kept credential: <sandbox>.condor/<proxy>
  <pid>          the process: a positive number; - with --sandbox, --account
  <signal>       a number, or a name with or without SIG
  <max-retries>  how many times to repeat a call when the switcher ends
                 with 202 or 203
  <min-delay>    seconds before the first repetition; later pauses are up to
                 as many times longer as calls have failed

A family is all that was started for a job: what descends from <pid>, what is
in a session or process group that a member leads, and what carries the mark
that condor_glexec_run leaves in the job's environment. It takes one call of
the switcher. With KILL all are stopped before the first one is killed, and
looked for until nobody is new; with STOP and CONT the whole family is
suspended or resumed; another signal is sent to each once. A job that wants
to hide can lose all three signs; --account finds it all the same, if the
account is leased to one job at a time.

Exit status: 0 the signal was sent, and to a family: nobody is left; 1 usage
or bad input; 2 failed (no such process, not the job user's, somebody is
left); 3 all retries used up.

Environment: GLEXEC_HELPERS_KILL: 'family' makes the plain call with KILL end
the whole family ('process' is the default). GLEXEC_HELPERS_IDLE_TIMEOUT:
seconds without progress before the other side is given up (600; 0 is for
ever). GLEXEC_HELPERS_LOG: a file, 'syslog' or 'stderr', for a line of JSON
about what was done.",
        &["glexec", "proxy-path", "pid", "signal", "max-retries", "min-delay"],
    )
    .override_usage("condor_glexec_kill [options] <glexec> <proxy-path> <pid> <signal> <max-retries> <min-delay>")
    .arg(flag("family", "The family of <pid>, which may be gone already").conflicts_with_all(["sandbox", "account"]))
    .arg(flag("sandbox", "All that was started for the sandbox of <proxy-path>").conflicts_with("account"))
    .arg(flag(
        "account",
        "Every process of the job user; names what the account leaves in /tmp, /dev/shm and System V IPC",
    ))
    .arg(flag("clean", "With --account and KILL: removes that as well; sandboxes stay").requires("account"))
    .arg(
        Arg::new("grace")
            .long("grace")
            .value_name("SECONDS")
            .value_parser(ValueParser::os_string())
            .help("With KILL: first TERM (and CONT for who is stopped), and so long to end"),
    )
    .arg(flag("json", "The report as one line of JSON"))
}

/// Runs the command.
pub fn main() -> ExitCode {
    super::command_with_options(definition(), run)
}

fn run(matches: ArgMatches, report: &mut Report<'_>) -> Result<(), Exit> {
    let words = super::words(&matches);
    let [glexec, proxy, pid, signal, max_retries, min_delay] = &words[..] else {
        return Err(anyhow!("too few arguments").into());
    };
    let patience = super::patience(max_retries, min_delay)?;
    let order = order(&matches, pid, signal_number(signal)?)?;
    // The switcher is called from the root directory.
    let proxy = std::path::absolute(proxy)
        .map_err(|error| anyhow!("<proxy-path> '{}': {error}", Shown::os(proxy)))?;
    report.about = sandbox_of_credential(&proxy);
    report.request = proxy.parent().and_then(request_of);
    let switcher = Switcher::new(glexec, proxy.clone(), super::idle_limit()?)?;
    match order.scope {
        Scope::Process(pid) if order.signal == SIGKILL && plain_means_family()? => {
            // Of a family that was ended for another of its processes, there is nobody left to call
            // the switcher for.
            kill::check_process(pid, &switcher).map_err(Failure::Hopeless)?;
            kill::kill(
                &switcher,
                &proxy,
                KillRequest { scope: Scope::Family(pid), ..order },
                patience,
                report,
            )?;
        }
        Scope::Process(_) => kill::kill(&switcher, &proxy, order, patience, report)?,
        _ => {
            let killed = kill::kill(&switcher, &proxy, order, patience, report);
            if let Some(hunted) = &report.hunted {
                // A caller that does not listen is no reason to fail.
                let _ = match matches.get_flag("json") {
                    true => writeln!(std::io::stdout(), "{}", json(hunted)),
                    false => writeln!(std::io::stdout(), "{}", line(hunted)),
                };
            }
            killed?;
        }
    }
    Ok(())
}

/// What the options ask for.
fn order(matches: &ArgMatches, pid: &OsStr, signal: i32) -> anyhow::Result<KillRequest> {
    let [family, sandbox, account, clean, json] =
        ["family", "sandbox", "account", "clean", "json"].map(|name| matches.get_flag(name));
    let scope = match (family, sandbox, account, pid == "-") {
        (true, ..) => Scope::Family(process(pid)?),
        (_, true, _, true) => Scope::Sandbox,
        (_, _, true, true) => Scope::Account,
        (_, true, ..) | (_, _, true, _) => {
            bail!("<pid> is - with --sandbox and --account: '{}'", Shown::os(pid))
        }
        _ => Scope::Process(process(pid)?),
    };
    let grace: Option<&OsString> = matches.get_one("grace");
    let grace = grace.map(|text| super::number("SECONDS", text)).transpose()?;
    if matches!(scope, Scope::Process(_)) && (grace.is_some() || json) {
        bail!("--grace and --json go with --family, --sandbox or --account");
    }
    if signal != SIGKILL && (grace.is_some() || clean) {
        bail!("--grace and --clean go with the signal KILL");
    }
    let grace = grace.unwrap_or(0);
    Ok(KillRequest { scope, signal, grace, soft_kill_signal: SIGTERM, clean })
}

fn plain_means_family() -> anyhow::Result<bool> {
    match std::env::var_os(NAME) {
        None => Ok(false),
        Some(value) if value.is_empty() || value == "process" => Ok(false),
        Some(value) if value == "family" => Ok(true),
        Some(value) => bail!("{NAME} is neither 'process' nor 'family': '{}'", Shown::os(&value)),
    }
}

/// The report, for people.
fn line(hunted: &Hunted) -> String {
    let Hunted { signal: number, account, hunt, remains, .. } = hunted;
    let Hunt { processes, rounds, unclassified, left, remains: found, removed } = hunt;
    let did = match *number {
        SIGKILL => "killed".to_owned(),
        SIGSTOP => "stopped".to_owned(),
        SIGCONT => "continued".to_owned(),
        number => format!("sent {} to", signal::name(number)),
    };
    let whose = if *account { "the account" } else { "1 family" };
    let (processes, rounds) =
        (counted(*processes, "process", "es"), counted(*rounds, "round", "s"));
    let mut line = format!("{did} {processes} of {whose} in {rounds}; {left} left");
    if *unclassified > 0 {
        let target = counted(*unclassified, "process", "es");
        line += &format!("; {target} of the account did not tell whether they belong to it");
    }
    if *account && *found > 0 {
        let more = if remains.len() as u64 == *found { "" } else { ", and others" };
        line +=
            &format!("; it left {found} behind, {removed} removed: {}{more}", remains.join(", "));
    }
    line
}

fn counted(number: u64, what: &str, more: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { more })
}

/// The report, for programs; also a part of the log.
pub fn json(hunted: &Hunted) -> Value {
    let Hunted { signal: number, account, hunt, survivors, remains } = hunted;
    let Hunt { processes, rounds, unclassified, left, remains: found, removed } = hunt;
    let survivors: Vec<Value> =
        survivors.iter().map(|(pid, text)| json!({ "pid": pid.as_raw(), "why": text })).collect();
    let mut line = json!({
        "signal": signal::name(*number), "whose": if *account { "account" } else { "family" },
        "processes": processes, "rounds": rounds, "unclassified": unclassified, "left": left, "some_left": survivors,
    });
    if *account {
        line["remains"] = json!({ "found": found, "removed": removed, "some": remains });
    }
    line
}

/// One process: never a group, nor all processes, which 0 and negative numbers mean to kill(2).
fn process(text: &OsStr) -> anyhow::Result<Pid> {
    match super::number("pid", text) {
        Ok(pid @ 1..) => Ok(Pid::from_raw(pid)),
        _ => bail!("<pid> is not a positive number: '{}'", Shown::os(text)),
    }
}

fn signal_number(text: &OsStr) -> anyhow::Result<i32> {
    let number = text.to_str().and_then(signal::parse);
    number.ok_or_else(|| {
        anyhow!("<signal> is neither a signal's number nor its name: '{}'", Shown::os(text))
    })
}
