//! `condor_glexec_pilot doctor`

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{ArgMatches, Command};
use error::Shown;
use serde_json::{Value, json};

use super::status::PilotStatus;
use super::{NAME, options};
use crate::batch::doctor::finding::{Finding, Level};
use crate::batch::doctor::{self, Examination, Options};
use crate::batch::pilot::candidates::{Candidate, SwitcherKind};
use crate::cli::definition::flag;
use crate::cli::{environment, log};

/// The longest time without progress of a switcher that is tried.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// The definition of the subcommand.
pub fn definition() -> Command {
    Command::new("doctor")
        .about("Checks whether this node can run payloads as other users.")
        .override_usage("condor_glexec_pilot doctor [options]")
        .next_line_help(true)
        .after_help(
            "\
doctor runs a test payload through each switcher that is installed, in a sandbox
that it gives to the job user and takes back. It prints one line for each check:
'ok', 'warning' or 'problem', what was found, and what to do. The last line
names the switcher that 'run' uses.

Exit status:
  0    the node can run payloads; there may be warnings
  1    the node cannot run payloads: system requirements are not met
  240  usage error or bad input

With --condor, it prints attributes for HTCondor's STARTD_CRON: GLEXEC_FIT says
whether this node can start jobs through 'wrap', GLEXEC_REASON why not. It is
not fit for ten minutes after a job could not be started. Its trial runs below
the directory 'doctor', beside those of the slots. It also sweeps, as 'sweep'.
The status is 0 in both cases. The other attributes:
  GLEXEC_SWITCHER      what gives a job its user: \"glexec\" (without privilege),
                       \"glexec setuid\", \"glexecd\", \"glexec-sudo\", or the path of
                       another program
  GLEXEC_WORLD         \"closed\" or \"shared\": what the wrapper gives a job
  GLEXEC_FREE_UIDS     how many subordinate ids no job has now; only with
                       \"glexec\"
  GLEXEC_NO_NEW_PRIVS  whether the startd runs with no_new_privs
  GLEXEC_VERSION       the version of these programs

Environment: see 'condor_glexec_pilot --help'.

Example:
  condor_glexec_pilot doctor --execute /var/lib/condor/execute
  condor_glexec_pilot doctor --condor --execute /var/lib/condor/execute
",
        )
        .arg(options::glexec().help(
            "The only identity switcher to be tried: a path, or a name that is\n\
             searched for in PATH [default: all that are installed]",
        ))
        .arg(options::credential())
        .arg(options::proxy())
        .arg(options::execute())
        .arg(flag("json", "Prints the result as one line of JSON"))
        .arg(
            flag(
                "condor",
                "Prints the result as attributes of a ClassAd (STARTD_CRON), with the\n\
                 settings of 'wrap'. --execute names HTCondor's execute directory",
            )
            .conflicts_with_all(["json", "glexec", "credential", "proxy"]),
        )
}

/// Runs the subcommand.
pub fn main(matches: &ArgMatches) -> ExitCode {
    if matches.get_flag("condor") {
        return super::doctor_condor::main(matches);
    }
    let started = Instant::now();
    let examined = match examined(matches) {
        Ok(examined) => examined,
        Err(error) => return super::refuse(&error),
    };
    let report = doctor::examine(&examined);
    let status = if report.is_fit() { PilotStatus::Success } else { PilotStatus::Failed };
    let report_json = json(&report);
    // The report is lost if standard output is closed.
    let _ = match matches.get_flag("json") {
        true => writeln!(std::io::stdout(), "{report_json}"),
        false => {
            let lines = lines(&report, examined.glexec.is_some(), std::io::stdout().is_terminal());
            write!(std::io::stdout(), "{lines}")
        }
    };
    let error = (!report.is_fit()).then(|| "this node cannot run payloads".to_owned());
    let fields = json!({ "step": "doctor", "error": error, "result": report_json });
    if let Err(warning) = log::write_fields(NAME, started.elapsed(), Some(status as u8), &fields) {
        super::say(warning);
    }
    status.into()
}

/// What the arguments ask for.
fn examined(matches: &ArgMatches) -> anyhow::Result<Options> {
    let limit = environment::idle_timeout()?;
    Ok(Options {
        glexec: options::value(matches, "glexec").cloned(),
        credential: options::credential_path(matches)?,
        proxy: options::path(matches, "proxy")?,
        execute: options::execute_path(matches)?,
        idle_timeout: if limit.is_zero() { MAX_TIMEOUT } else { limit.min(MAX_TIMEOUT) },
    })
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Problem => "problem",
    }
}

/// The report as text: a line for each finding, and a line with the result. `is_named` says whether
/// the caller named the switcher.
fn lines(report: &Examination, is_named: bool, has_colours: bool) -> String {
    let mut lines = String::new();
    for Finding { what, level, text, advice } in &report.findings {
        let colour = match level {
            Level::Ok => "\x1b[32m",
            Level::Warning => "\x1b[33m",
            Level::Problem => "\x1b[31m",
        };
        let (on, off) = if has_colours { (colour, "\x1b[0m") } else { ("", "") };
        let advice = advice.as_ref().map(|advice| format!(" -> {advice}")).unwrap_or_default();
        lines += &format!("{on}{:<8}{off} {what}: {text}{advice}\n", level_name(*level));
    }
    let result = match (&report.best, report.is_fit()) {
        (Some(Candidate { program, kind }), true) => {
            let why = kind.map(|kind| format!(": {}", kind.isolation())).unwrap_or_default();
            let when = if is_named { "with this --glexec" } else { "without --glexec" };
            format!(
                "this node can run payloads; {when}, run uses the switcher {}{why}",
                Shown::os(program)
            )
        }
        _ => "this node cannot run payloads: see the problems above".to_owned(),
    };
    lines + &result + "\n"
}

/// The report as JSON.
fn json(report: &Examination) -> Value {
    let finding = |Finding { what, level, text, advice }: &Finding| {
        let level = level_name(*level);
        json!({ "check": what, "level": level, "text": text, "advice": advice })
    };
    json!({
        "ready": report.is_fit(),
        "switcher": report.best.as_ref().map(|best| Shown::os(&best.program).to_string()),
        "isolation": report.best.as_ref().and_then(|best| best.kind).map(SwitcherKind::isolation),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}
