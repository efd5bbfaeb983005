//! `condor_glexec_kill`

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::ArgMatches;
use command::log::sandbox_of_credential;
use error::Shown;
use sys::signal::{SIGKILL, SIGTERM};
use sys::{Pid, signal};

use super::definition::{self, IDLE_TIMEOUT, LOG, RETRIES, flag, option};
use super::helper::HelperCall;
use super::{arguments, environment, kill_report, notice};
use crate::batch::Report;
use crate::batch::error::HelperError;
use crate::batch::identity::log_id_of;
use crate::batch::kill::{self, KillRequest, Scope};
use crate::batch::report::Hunted;
use crate::batch::switcher::Switcher;

const NAME: &str = "condor_glexec_kill";

/// The names of the arguments.
const NAMES: [&str; 6] = ["glexec", "proxy-path", "pid", "signal", "max-retries", "min-delay"];

/// The command's definition.
pub fn definition() -> clap::Command {
    let usage = ["[options]".to_owned()].into_iter().chain(definition::bracketed(&NAMES));
    definition::helper(
        NAME,
        "Sends a signal to a process of the job user, or to all processes of a job.",
        format!(
            "\
Arguments:
  <glexec>       the identity switcher that setup was called with
  <proxy-path>   the path of the retained proxy: <sandbox>.condor/<proxy>
  <pid>          the process id, a positive number; with --sandbox and
                 --account: -
  <signal>       the number of the signal, or its name with or without SIG
{RETRIES}
Without --family, --sandbox and --account, one process gets the signal. If <pid>
is the process of condor_glexec_run, the job gets the signal.

With --family, --sandbox or --account, all processes of a family or of the
account get the signal, with one call of the switcher. The family of a job
consists of the descendants of its first process, the processes in a session or
process group that a member leads or led, and the processes that carry the job's
mark (the variable _GLEXEC_HELPERS_FAMILY) in their environment. With KILL, all
members are stopped before the first one is killed; the search is repeated until
it finds no new member. With STOP and CONT, the whole family is suspended or
resumed. Any other signal is sent once to each member.

--family and --sandbox do not find a process that has left its session and
changed its environment, and whose parent has ended. --account finds it. Use
--account only if the account has one job at a time.

Exit status:
  0  the signal was sent; after KILL to a family or an account, no process of it
     is left
  1  usage error or bad input; no signal was sent
  2  failed: there is no such process, it does not belong to the job user, or
     processes are left
  3  each call of the switcher ended with status 202 or 203

Environment:
  GLEXEC_HELPERS_KILL
          what KILL does without --family, --sandbox and --account: 'process'
          kills one process; 'family' kills its whole family, as --family does,
          and prints no report (default: process)
{IDLE_TIMEOUT}{LOG}
Example: end all processes that were started for a sandbox; those that are left
10 seconds after TERM are killed.
  condor_glexec_kill --sandbox --grace 10 /usr/sbin/glexec \\
    /scratch/dir_1.condor/proxy - KILL 3 5
"
        ),
        &NAMES,
    )
    .override_usage(definition::usage(NAME, usage))
    .next_line_help(true)
    .arg(
        flag("family", "Signals the family of <pid>; this process may have ended")
            .conflicts_with_all(["sandbox", "account"]),
    )
    .arg(
        flag("sandbox", "Signals everything that was started for the sandbox of <proxy-path>")
            .conflicts_with("account"),
    )
    .arg(flag(
        "account",
        "Signals all processes of the job user. With KILL, also lists what the\n\
         account left in /tmp, in /dev/shm and as System V IPC",
    ))
    .arg(
        flag(
            "clean",
            "With --account and KILL: also removes what the account left, but no\n\
             sandbox",
        )
        .requires("account"),
    )
    .arg(option(
        "grace",
        "SECONDS",
        "With KILL: sends TERM first, and CONT to stopped processes; waits\n\
         SECONDS, then sends KILL [default: 0, KILL at once]",
    ))
    .arg(flag("json", "Prints the report as one line of JSON"))
}

/// Runs the command.
pub fn main() -> ExitCode {
    let call = match HelperCall::start(definition()) {
        Ok(call) => call,
        Err(status) => return status,
    };
    let mut print = notice::print;
    let mut report = Report::new(&mut print);
    let result = send(&call.matches, &mut report);
    call.end(&report, result)
}

fn send(matches: &ArgMatches, report: &mut Report<'_>) -> Result<(), HelperError> {
    let [glexec, proxy, pid, signal, max_retries, min_delay] = arguments::exactly(matches)?;
    let retries = arguments::retries(&max_retries, &min_delay)?;
    let request = request(matches, &pid, signal_number(&signal)?)?;
    // The switcher is called from the root directory.
    let proxy = std::path::absolute(&proxy)
        .map_err(|error| anyhow!("<proxy-path> '{}': {error}", Shown::os(&proxy)))?;
    report.about = sandbox_of_credential(&proxy);
    report.log_id = proxy.parent().and_then(log_id_of);
    let switcher = Switcher::new(&glexec, proxy.clone(), environment::idle_timeout()?)
        .map_err(HelperError::bad_input)?;
    match request.scope {
        Scope::Process(pid) if request.signal == SIGKILL && environment::kill_ends_family()? => {
            // A supervisor kills each process of the family by its pid. After the first call the
            // others are gone, and need no call of the switcher.
            kill::check_process(pid, &switcher)?;
            let request = KillRequest { scope: Scope::Family(pid), ..request };
            kill::kill(&switcher, &proxy, request, retries, report)
        }
        Scope::Process(_) => kill::kill(&switcher, &proxy, request, retries, report),
        Scope::Family(_) | Scope::Sandbox | Scope::Account => {
            let result = kill::kill(&switcher, &proxy, request, retries, report);
            if let Some(hunted) = &report.hunted {
                print(hunted, matches.get_flag("json"));
            }
            result
        }
    }
}

/// Prints the report. It is lost if standard output is closed.
fn print(hunted: &Hunted, as_json: bool) {
    let _ = match as_json {
        true => writeln!(std::io::stdout(), "{}", kill_report::json(hunted)),
        false => writeln!(std::io::stdout(), "{}", kill_report::line(hunted)),
    };
}

/// What the arguments ask for.
fn request(matches: &ArgMatches, pid: &OsStr, signal: i32) -> anyhow::Result<KillRequest> {
    let [family, sandbox, account, clean, json] =
        ["family", "sandbox", "account", "clean", "json"].map(|name| matches.get_flag(name));
    let scope = match (family, sandbox, account, pid == "-") {
        (true, ..) => Scope::Family(process(pid)?),
        (_, true, _, true) => Scope::Sandbox,
        (_, _, true, true) => Scope::Account,
        (_, true, ..) | (_, _, true, _) => {
            bail!("with --sandbox and --account, <pid> must be -: '{}'", Shown::os(pid))
        }
        _ => Scope::Process(process(pid)?),
    };
    let grace: Option<&OsString> = matches.get_one("grace");
    let grace = grace.map(|text| arguments::number("--grace SECONDS", text)).transpose()?;
    if matches!(scope, Scope::Process(_)) && (grace.is_some() || json) {
        bail!("--grace and --json need --family, --sandbox or --account");
    }
    if signal != SIGKILL && (grace.is_some() || clean) {
        bail!("--grace and --clean need the signal KILL");
    }
    let grace = grace.unwrap_or(0);
    Ok(KillRequest { scope, signal, grace, soft_kill_signal: SIGTERM, clean })
}

/// One process. 0 and negative numbers are refused: to kill(2) they mean a group, or all processes.
fn process(text: &OsStr) -> anyhow::Result<Pid> {
    match arguments::number("<pid>", text)? {
        pid @ 1.. => Ok(Pid::from_raw(pid)),
        _ => bail!("<pid> must be a positive number: '{}'", Shown::os(text)),
    }
}

fn signal_number(text: &OsStr) -> anyhow::Result<i32> {
    let number = text.to_str().and_then(signal::parse);
    number.ok_or_else(|| {
        anyhow!("<signal> must be the number or the name of a signal: '{}'", Shown::os(text))
    })
}
