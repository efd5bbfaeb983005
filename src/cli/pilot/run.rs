//! `condor_glexec_pilot run`

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use error::Shown;
use serde_json::Value;
use sys::process::Inherited;

use super::report::{self, ReportFile};
use super::status::PilotStatus;
use super::steps::{self, Record};
use super::{NAME, options, run_order};
use crate::batch::pilot::run::{self, Outcome, Stage};
use crate::batch::pilot::supervise::StopReason;
use crate::cli::definition::{flag, option};
use crate::cli::notice;

/// The definition of the subcommand.
pub fn definition() -> Command {
    Command::new("run")
        .about("Runs a command as another user, and brings its files back.")
        .override_usage("condor_glexec_pilot run [options] -- <command> [arg…]")
        .next_line_help(true)
        .after_help(TEXT)
        .args(files())
        .args(environment())
        .args(limits())
        .args(reports())
        .arg(
            Arg::new("command")
                .value_name("command")
                .num_args(1..)
                .required(true)
                .trailing_var_arg(true)
                .value_parser(ValueParser::os_string())
                .hide(true),
        )
}

/// The help text after the options.
const TEXT: &str = "\
The sandbox is created with a copy of the input. The switcher gives it to the
job user and runs the command in it. A command without a slash is searched for
in PATH; a relative path such as ./name starts in the sandbox. The payload has
the standard streams of this program and the variables that the switcher and
--env set. When it has ended, all processes that it left running are killed, and
the files come back.

SIGTERM, SIGINT and SIGHUP end the payload: all its processes get the signal;
those that are left after --grace are killed; the files come back. The end of
--timeout does the same with SIGTERM. SIGTSTP and SIGCONT stop and continue all
processes of the payload. SIGUSR1 and SIGUSR2 are forwarded to them. If standard
input is a terminal, Ctrl-C and Ctrl-\\ are forwarded to the payload; this
program keeps running.

Before the payload begins, a signal that ends the payload ends this program at
once, and nothing is left. While the files come back, the second such signal
ends this program, and 'recover' brings the files back. If this program is
killed, the payload is killed too, and 'recover' brings the files back.

Exit status: that of the payload, or 128+N if signal N killed it; or else:
  240  usage error or bad input; nothing was done
  241  the sandbox could not be handed over; the payload did not begin
  242  the payload could not be started; its files are back
  243  the payload ran, but its files are not back; the error names its status
       and the sandbox, and 'recover' brings the files back
  244  the payload's own status was one of 240 to 244

Environment: see 'condor_glexec_pilot --help'.

Example:
  condor_glexec_pilot run --input in --output out --timeout 2h -- ./analyse data
";

/// Options about the sandbox and its files.
fn files() -> Vec<Arg> {
    vec![
        options::glexec(),
        options::credential(),
        options::proxy(),
        option(
            "input",
            "DIR",
            "A directory that is copied into the sandbox; it is not changed\n\
             [default: the sandbox is empty]",
        ),
        options::execute(),
        option(
            "name",
            "NAME",
            "The name of the sandbox in that directory; it must not exist\n\
             [default: pilot_ and a random number]",
        ),
        option(
            "output",
            "DIR",
            "Where the payload's files are put: an empty directory, or one that\n\
             does not exist [default: the files are deleted]",
        ),
    ]
}

/// Options about the variables of the payload.
fn environment() -> Vec<Arg> {
    vec![
        option(
            "env",
            "NAME[=VALUE]",
            "A variable for the payload; can be repeated. NAME passes the caller's\n\
             variable, which must exist; NAME? passes it if it exists",
        )
        .action(ArgAction::Append),
        option(
            "env-file",
            "FILE",
            "A file of variables, one NAME=VALUE per line; can be repeated. Empty\n\
             lines and lines beginning with # are ignored",
        )
        .action(ArgAction::Append),
    ]
}

/// Options about times.
fn limits() -> Vec<Arg> {
    vec![
        option(
            "timeout",
            "TIME",
            "The time limit of the payload: seconds, or a number with s, m, h or d\n\
             [default: 0, no limit]",
        ),
        option(
            "grace",
            "TIME",
            "The time between the signal that ends the payload and SIGKILL, as for\n\
             --timeout [default: 10 seconds]",
        ),
    ]
}

/// Options about what the caller gets to know.
fn reports() -> Vec<Arg> {
    vec![
        flag("keep-sandbox", "Keeps the files in the sandbox, and prints its path")
            .conflicts_with("output"),
        option(
            "report",
            "FILE",
            "Writes one line of JSON about all steps to FILE, mode 0600. The file\n\
             is opened before anything runs. The payload cannot write to it",
        ),
        flag(
            "json",
            "Prints the same line on standard error. The payload can also write\n\
             there, and so forge the line: programs should read --report",
        ),
    ]
}

/// Runs the subcommand.
pub fn main(matches: &ArgMatches, inherited: Inherited) -> ExitCode {
    let started = Instant::now();
    let file = match options::path(matches, "report")
        .and_then(|path| path.map(ReportFile::open).transpose())
    {
        Ok(file) => file,
        Err(error) => return super::refuse(&error),
    };
    let order = match run_order::from_arguments(matches, inherited) {
        Ok(order) => order,
        Err(error) => {
            let status = super::refuse(&error);
            write_report(file, &report::of_usage_error(&format!("{error:#}")));
            return status;
        }
    };
    let mut record = Record::default();
    let outcome = steps::record(&order.sandbox, &mut record, |step_log| run::run(&order, step_log));
    let status = status(&outcome);
    for (stage, error) in &outcome.failures {
        super::say(format_args!("{}: {error}", consequence(*stage, &outcome)));
    }
    if order.keeps_sandbox && outcome.switcher.is_some() {
        let line = format!("{NAME}: the sandbox is {}", Shown::os(&order.sandbox));
        notice::print(&line);
        record.notices.push(line);
    }
    let report = report::of_run(&order, &outcome, status, started.elapsed(), record);
    if matches.get_flag("json") {
        // Standard output is the payload's.
        let _ = writeln!(std::io::stderr(), "{report}");
    }
    write_report(file, &report);
    ExitCode::from(status)
}

/// Writes the report, if `--report` was given. A failure changes nothing about the payload: it is
/// printed, and has no exit status.
fn write_report(file: Option<ReportFile>, report: &Value) {
    if let Some(Err(error)) = file.map(|file| file.write(report)) {
        super::say(format_args!("{error:#}"));
    }
}

/// The exit status: that of the stage that failed last, or else the payload's.
fn status(outcome: &Outcome) -> u8 {
    let failed = outcome.failures.last().map(|(stage, _)| match stage {
        Stage::Order => PilotStatus::UsageError,
        Stage::SetUp => PilotStatus::SetupFailed,
        Stage::Switch => PilotStatus::StartFailed,
        Stage::CleanUp => PilotStatus::CleanupFailed,
    });
    match (failed, outcome.payload, outcome.asked) {
        (Some(failed), ..) => failed as u8,
        (None, Some(240..=244), _) => PilotStatus::PayloadStatusReserved as u8,
        (None, Some(status), _) => u8::try_from(status).unwrap_or(u8::MAX),
        (None, None, Some(StopReason::Signal(number))) => {
            u8::try_from(128 + number).unwrap_or(u8::MAX)
        }
        (None, None, _) => PilotStatus::StartFailed as u8,
    }
}

/// What the failure of a stage means for the caller.
fn consequence(stage: Stage, outcome: &Outcome) -> String {
    match (stage, outcome.payload) {
        (Stage::Order, _) => "nothing was done".to_owned(),
        (Stage::SetUp, _) => "the sandbox could not be handed over".to_owned(),
        (Stage::Switch, _) => "the payload could not be started".to_owned(),
        (Stage::CleanUp, Some(status)) => {
            format!("the payload ended with status {status}, but its files are not back")
        }
        (Stage::CleanUp, None) => {
            "the payload did not begin, and the files are not back".to_owned()
        }
    }
}
