//! `condor_glexec_pilot`: one command for pilots, which have no starter, and for administrators.

mod doctor;
mod progress;
mod recover;
mod report;
mod run;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use error::Shown;
use serde_json::Value;
use sys::process::Inherited;

use super::log;
use crate::batch::Report;
use crate::batch::pilot::interrupt::Urgent;
use crate::batch::pilot::step_log::StepLog;

/// The command's name.
const NAME: &str = "condor_glexec_pilot";

/// The exit statuses of its own. Those of `run` are as far as possible from what payloads end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// It is done; `doctor`: the node is fit.
    Success = 0,
    /// `recover` and `renew-proxy`: it failed; `doctor`: the node is not fit.
    Failed = 1,
    /// A wrong call, or bad input; nothing was changed.
    BadCall = 240,
    /// `run`: the sandbox could not be handed over; there was no payload.
    NoSetUp = 241,
    /// `run`: the payload could not be started; its files are back.
    NoSwitch = 242,
    /// `run`: there was a payload, but its files are not back.
    NoCleanUp = 243,
    /// `run`: the payload's own status was one of 240 to 244.
    Ambiguous = 244,
}

/// The command's definition.
pub fn definition() -> Command {
    Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs a payload as another user, from its input to its output; examines a node.")
        .after_help(
            "\
Environment: GLEXEC_HELPERS_LOG: a file, 'syslog' or 'stderr', for a line of
JSON about each step. GLEXEC_HELPERS_IDLE_TIMEOUT: seconds without progress
before the other side of a transfer is given up (600; 0 is for ever).
GLEXEC_HELPERS_LINKS: what becomes of links that leave the sandbox: 'copy',
'keep' or 'drop'. GLEXEC_ID: a name of yours for the lines of the log.

'condor_glexec_pilot help <command>' tells more.",
        )
        .override_usage("condor_glexec_pilot run|recover|renew-proxy|doctor [options] …")
        .subcommand_required(true)
        .args_override_self(true)
        .subcommand(run_definition())
        .subcommand(recover_definition())
        .subcommand(renew_definition())
        .subcommand(doctor_definition())
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).value_parser(ValueParser::os_string()).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn glexec() -> Arg {
    option(
        "glexec",
        "PROGRAM",
        "The identity switcher [default: the best that works here, see doctor]",
    )
}

fn execute() -> Arg {
    option(
        "execute",
        "DIR",
        "Where sandboxes are made: a directory of mode 1777 [default: /var/tmp]",
    )
}

fn credential() -> Arg {
    option(
        "credential",
        "FILE",
        "The credential that the switcher is called with, mode 0600; the payload does not get it \
         [default: what your X509_USER_PROXY names; else a placeholder]",
    )
}

fn proxy() -> Arg {
    option(
        "proxy",
        "FILE",
        "A credential for the payload, mode 0600: it gets a copy, which its X509_USER_PROXY names [default: none]",
    )
}

fn sandbox() -> Arg {
    let sandbox = Arg::new("sandbox").value_name("sandbox").value_parser(ValueParser::os_string());
    sandbox.required(true).help("Its absolute path, as a line of the log or of an error names it")
}

fn run_definition() -> Command {
    Command::new("run")
        .about("Runs a command as another user, in a sandbox of its own, and brings its files back")
        .override_usage("condor_glexec_pilot run [options] -- <command> [arg…]")
        .after_help(
            "\
The sandbox is made as you, with a copy of the input. The switcher hands it to
the job user, who runs the command in it, with the standard streams of this
program and the environment that the switcher and --env give. A command without
a slash is looked for in your PATH. Afterwards whatever it has left running is
ended, and the files come back to you: to --output, or they are removed.

SIGTERM, SIGINT, SIGHUP and --timeout go to all that was started for the
payload; what is left after --grace is killed, and the files come back. SIGTSTP
stops and SIGCONT continues all of it; SIGUSR1 and SIGUSR2 go to all of it. If
standard input is a terminal, its keys for SIGINT and SIGQUIT are the payload's
business alone. Before the payload has begun such a signal ends this program at
once, and nothing is left; while the files come back, the second one does, and
they are left for 'recover'. If this program is killed, all of it is killed as
well, and 'recover' brings the files back.

Exit status: the payload's, or 128+N if signal N has killed it; 240 wrong call
or bad input, nothing was done; 241 the sandbox could not be handed over, there
was no payload; 242 the payload could not be started; 243 the payload has run,
but its files are not back, and the line on standard error names its status and
the sandbox; 244 the payload's own status was one of 240 to 244.",
        )
        .arg(glexec())
        .arg(credential())
        .arg(proxy())
        .arg(option("input", "DIR", "A directory that is copied into the sandbox [default: the sandbox is empty]"))
        .arg(execute())
        .arg(option(
            "name",
            "NAME",
            "The sandbox's name there, which must be free [default: pilot_ and a random number]",
        ))
        .arg(option("output", "DIR", "Where the payload's files come to: an empty directory, or one that is made"))
        .arg(
            option(
                "env",
                "NAME[=VALUE]",
                "A variable for the payload; without a value it gets yours, which must be there; as NAME? it need not be",
            )
                .action(ArgAction::Append),
        )
        .arg(
            option(
                "env-file",
                "FILE",
                "Variables, one NAME=VALUE a line; empty lines and those with # are passed over",
            )
            .action(ArgAction::Append),
        )
        .arg(option(
            "timeout",
            "TIME",
            "How long the payload may run: seconds, or 30s, 5m, 2h, 1d [default: 0, no limit]",
        ))
        .arg(option("grace", "TIME", "How long it may take to end when it is asked to, as --timeout [default: 10]"))
        .arg(
            flag("keep-sandbox", "Leaves the files in the sandbox, which is yours then, and names it")
                .conflicts_with("output"),
        )
        .arg(option(
            "report",
            "FILE",
            "At the end one line of JSON in this file, about all that was done; it is yours alone, and opened before \
             anything runs",
        ))
        .arg(flag("json", "The same line on standard error. The payload has that, too, and can forge it: see --report"))
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

fn recover_definition() -> Command {
    Command::new("recover")
        .about("Finishes what a pilot or starter that was killed has left: ends the payload, brings its files back")
        .override_usage("condor_glexec_pilot recover [options] <sandbox>")
        .after_help("Exit status: 0; 1 it failed, and can be tried again; 240 wrong call.")
        .arg(glexec())
        .arg(option(
            "output",
            "DIR",
            "Where the files come to [default: they stay in the sandbox, which is yours then]",
        ))
        .arg(
            flag("discard", "Removes the sandbox and all that was left beside it instead of bringing it back")
                .conflicts_with("output"),
        )
        .arg(sandbox())
}

fn renew_definition() -> Command {
    Command::new("renew-proxy")
        .about("Replaces the proxy of a running payload, or the credential that its switcher is called with, or both")
        .override_usage("condor_glexec_pilot renew-proxy [options] <sandbox> [<file>]")
        .after_help(
            "\
A payload that was started without --proxy gets the file, too, but no variable
that names it.

Exit status: 0; 1 it failed; 240 wrong call.",
        )
        .arg(glexec())
        .arg(option("credential", "FILE", "A new credential for the switcher, mode 0600; it stays where it is"))
        .arg(sandbox())
        .arg(
            Arg::new("file")
                .value_name("file")
                .value_parser(ValueParser::os_string())
                .required_unless_present("credential")
                .help("A new proxy for the payload, mode 0600; it stays where it is"),
        )
}

fn doctor_definition() -> Command {
    Command::new("doctor")
        .about(
            "Examines whether payloads can run here as other users, and says what to do where not",
        )
        .override_usage("condor_glexec_pilot doctor [options]")
        .after_help(
            "\
Each switcher that is found is tried for real, with a sandbox that changes hands
and back. One line for each thing that was looked at: 'ok', 'warning' or
'problem', and what to do.

Exit status: 0 the node is fit, perhaps with warnings; 1 it is not; 240 wrong
call.",
        )
        .arg(glexec())
        .arg(credential())
        .arg(proxy())
        .arg(execute())
        .arg(flag("json", "One line of JSON for all"))
}

/// Runs the command.
pub fn main() -> ExitCode {
    sys::signal::expect_children();
    let umask = sys::process::create_privately();
    sys::signal::survive_file_size_limit();
    let matches = match super::parse_with(definition(), std::env::args_os()) {
        Ok(matches) => matches,
        Err(super::Unparsed::Shown) => return ExitCode::SUCCESS,
        Err(super::Unparsed::Wrong(what)) => return refuse(&anyhow!(what)),
    };
    // What else the caller left open is neither ours nor the payload's.
    if let Err(cause) = sys::fd::close_above_2_on_exec() {
        return refuse(&anyhow!("cannot close the caller's other descriptors: {cause}"));
    }
    let inherited = match super::enough_descriptors() {
        Ok(descriptors) => Inherited { umask, descriptors: Some(descriptors) },
        Err(error) => return refuse(&error),
    };
    match matches.subcommand() {
        Some(("run", matches)) => run::main(matches, inherited),
        Some(("recover", matches)) => recover::recover(matches),
        Some(("renew-proxy", matches)) => recover::renew(matches),
        Some(("doctor", matches)) => doctor::main(matches),
        _ => ExitCode::from(Status::BadCall as u8),
    }
}

/// One line on standard error.
fn say(line: impl Display) {
    command::say(NAME, line);
}

/// The end of a wrong call.
fn refuse(error: &anyhow::Error) -> ExitCode {
    say(format_args!("{error:#}"));
    ExitCode::from(Status::BadCall as u8)
}

/// A line of JSON on standard error: standard output is the payload's.
fn print_line(line: &Value) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What was told while something was done.
#[derive(Debug, Default)]
struct Told {
    /// Each step.
    steps: Vec<Value>,
    /// Each line for the caller that is no failure.
    notices: Vec<String>,
}

/// Does something whose steps are logged; `all` gets what is told, too.
fn with_diary<T>(sandbox: &Path, all: &mut Told, work: impl FnOnce(&mut StepLog<'_>) -> T) -> T {
    let Told { steps, notices } = all;
    let said = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&said);
    let urgent: Urgent = Arc::new(move |line: &str| {
        keep.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        super::notice(line);
    });
    let (notice, warn) = (Arc::clone(&urgent), Arc::clone(&urgent));
    let mut note =
        |step: &'static str, report: &Report<'_>, took: Duration, error: Option<String>| {
            let status = Some(u8::from(error.is_some()));
            let mut facts =
                log::facts(&log::Operation { helper: NAME, report, took, status, error });
            facts["step"] = step.into();
            if let Some(facts) = facts.as_object_mut() {
                facts.retain(|_, value| !value.is_null());
            }
            if let Err(warning) = log::write_facts(NAME, took, status, &facts) {
                warn(&format!("{NAME}: {warning}"));
            }
            facts["milliseconds"] = (took.as_secs_f64() * 1000.0).into();
            steps.push(facts);
        };
    let mut notice = move |line: &str| notice(line);
    let mut step_log = StepLog {
        sandbox: sandbox.to_owned(),
        request: None,
        notice: &mut notice,
        urgent,
        progress: &mut progress::of,
        note: &mut note,
    };
    let done = work(&mut step_log);
    notices.append(&mut said.lock().unwrap_or_else(PoisonError::into_inner));
    done
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a OsString> {
    matches.get_one(name)
}

fn values<'a>(matches: &'a ArgMatches, name: &str) -> impl Iterator<Item = &'a OsString> {
    matches.get_many(name).into_iter().flatten()
}

/// A path that does not depend on the working directory.
fn absolute(matches: &ArgMatches, name: &str) -> anyhow::Result<Option<PathBuf>> {
    let path = text(matches, name).map(|path| {
        std::path::absolute(path).with_context(|| format!("--{name} '{}'", Shown::os(path)))
    });
    path.transpose()
}

/// Where sandboxes are made.
fn execute_directory(matches: &ArgMatches) -> anyhow::Result<PathBuf> {
    Ok(absolute(matches, "execute")?.unwrap_or_else(|| PathBuf::from("/var/tmp")))
}

/// The path of the switcher's credential; none if the caller has none.
fn credential_path(matches: &ArgMatches) -> anyhow::Result<Option<PathBuf>> {
    let of_caller =
        || std::env::var_os("X509_USER_PROXY").filter(|path| !path.is_empty()).map(PathBuf::from);
    Ok(absolute(matches, "credential")?.or_else(of_caller))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_consistent() {
        super::definition().debug_assert();
    }
}
