//! The edge: arguments, help texts, exit statuses, and what a person reads.
//!
//! Arguments are bytes. Options stand before the first positional argument; nothing after that is
//! ever parsed. A usage error is one line on standard error and exit status 1.

pub mod cleanup;

pub mod kill;
mod log;
pub mod pilot;
pub mod run;
pub mod setup;
pub mod update_proxy;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};
use command::say;
use error::Shown;

use crate::batch::{Failure, Patience, Report, run as batch_run};

/// The exit statuses of the helpers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// It is done.
    Success = 0,
    /// Usage or bad input; for cleanup, update_proxy and the job wrapper every failure.
    BadInput = 1,
    /// It failed, and trying again will not help.
    Failed = 2,
    /// The switcher failed each time with a status that says "later".
    RetriesUsedUp = 3,
    /// The switcher can't be executed.
    NotExecutable = 126,
    /// There is no such switcher.
    NotFound = 127,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status as u8)
    }
}

/// Why a command ends without success.
#[derive(Debug)]
pub struct Exit {
    status: Status,
    error: anyhow::Error,
}

impl From<anyhow::Error> for Exit {
    fn from(error: anyhow::Error) -> Self {
        Exit { status: Status::BadInput, error }
    }
}

impl From<error::Error> for Exit {
    fn from(error: error::Error) -> Self {
        Exit { status: Status::BadInput, error: error.into() }
    }
}

impl From<Failure> for Exit {
    fn from(failure: Failure) -> Self {
        let status = match failure {
            Failure::BadInput(_) => Status::BadInput,
            Failure::Hopeless(_) | Failure::Gone(_) => Status::Failed,
            Failure::RetriesUsedUp(..) => Status::RetriesUsedUp,
        };
        Exit { status, error: failure.into() }
    }
}

impl From<batch_run::Failure> for Exit {
    fn from(failure: batch_run::Failure) -> Self {
        let status = match failure {
            batch_run::Failure::BadInput(_) => Status::BadInput,
            batch_run::Failure::NotExecutable(_) => Status::NotExecutable,
            batch_run::Failure::NotFound(_) => Status::NotFound,
        };
        Exit { status, error: failure.into() }
    }
}

/// Runs a command of the batch user's: its arguments as words, its end as an exit status and at
/// most one line.
fn command(
    definition: Command,
    body: impl FnOnce(Vec<OsString>, &mut Report<'_>) -> Result<(), Exit>,
) -> ExitCode {
    command_with_options(definition, |matches, report| body(words(&matches), report))
}

/// As [`command`], for one that has options, too.
fn command_with_options(
    definition: Command,
    body: impl FnOnce(ArgMatches, &mut Report<'_>) -> Result<(), Exit>,
) -> ExitCode {
    sys::signal::expect_children();
    let started = Instant::now();
    let name = definition.get_name().to_owned();
    let matches = match parse(definition, std::env::args_os()) {
        Ok(matches) => matches,
        Err(status) => return status,
    };
    // What else the caller left open is neither ours nor the switcher's.
    let sealed =
        sys::fd::close_above_2_on_exec().context("cannot close the caller's other descriptors");
    let mut notice = notice;
    let mut report = Report::new(&mut notice);
    let ended = sealed.map_err(Exit::from).and_then(|()| body(matches, &mut report));
    let (status, error) = match ended {
        Ok(()) => (Status::Success, None),
        Err(exit) => (exit.status, Some(format!("{:#}", exit.error))),
    };
    if let Some(error) = &error {
        say(&name, error);
    }
    let took = started.elapsed();
    let operation =
        log::Operation { helper: &name, report: &report, took, status: Some(status as u8), error };
    if let Err(warning) = log::write(&operation) {
        say(&name, warning);
    }
    status.into()
}

/// As [`command`], for one that creates files.
fn creating_command(
    definition: Command,
    body: impl FnOnce(Vec<OsString>, &mut Report<'_>) -> Result<(), Exit>,
) -> ExitCode {
    sys::process::create_privately();
    sys::signal::survive_file_size_limit();
    command(definition, body)
}

/// Defines a command that takes the positional arguments of these names.
fn define(
    name: &'static str,
    about: &'static str,
    help: &'static str,
    positional: &[&'static str],
) -> Command {
    let values = Arg::new("words")
        .value_names(positional.iter().copied())
        .num_args(positional.len())
        .required(true)
        .trailing_var_arg(true)
        .value_parser(ValueParser::os_string())
        .hide(true);
    let usage = positional.iter().map(|name| format!(" <{name}>")).collect::<String>();
    Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .after_help(help)
        .override_usage(format!("{name}{usage}"))
        .arg(values)
}

/// As [`define`], for a command whose last argument can be followed by any others.
fn define_with_rest(
    name: &'static str,
    about: &'static str,
    help: &'static str,
    positional: &[&'static str],
) -> Command {
    let usage = positional.iter().map(|name| format!(" <{name}>")).collect::<String>();
    define(name, about, help, positional)
        .mut_arg("words", |values| values.num_args(positional.len()..).value_name("word"))
        .override_usage(format!("{name}{usage} [arg…]"))
}

/// The positional arguments.
fn words(matches: &ArgMatches) -> Vec<OsString> {
    matches.get_many("words").unwrap_or_default().cloned().collect()
}

/// What the arguments say, or the exit status after help, the version, or one line about a usage
/// error.
fn parse(
    definition: Command,
    arguments: impl Iterator<Item = OsString>,
) -> Result<ArgMatches, ExitCode> {
    let name = definition.get_name().to_owned();
    parse_with(definition, arguments).map_err(|unparsed| match unparsed {
        Unparsed::Shown => Status::Success.into(),
        Unparsed::Wrong(line) => {
            say(&name, line);
            Status::BadInput.into()
        }
    })
}

/// Why arguments say nothing.
enum Unparsed {
    /// Help or the version was asked for, and shown.
    Shown,
    /// A usage error, as one line.
    Wrong(String),
}

/// As [`parse`], for who says it in a way of its own.
fn parse_with(
    definition: Command,
    arguments: impl Iterator<Item = OsString>,
) -> Result<ArgMatches, Unparsed> {
    let arguments: Vec<OsString> = arguments.collect();
    let asked = arguments.get(1).and_then(|name| definition.find_subcommand(name));
    let usage = asked
        .unwrap_or(&definition)
        .clone()
        .render_usage()
        .to_string()
        .replace("Usage: ", "usage: ");
    match definition.try_get_matches_from(arguments) {
        Ok(matches) => Ok(matches),
        Err(error) if !error.use_stderr() => {
            let _ = write!(std::io::stdout(), "{error}");
            Err(Unparsed::Shown)
        }
        Err(error) => {
            use clap::error::{ContextKind, ContextValue, ErrorKind};
            let what = match error.kind() {
                ErrorKind::MissingRequiredArgument
                | ErrorKind::WrongNumberOfValues
                | ErrorKind::TooFewValues => "too few arguments",
                ErrorKind::TooManyValues => "too many arguments",
                ErrorKind::UnknownArgument => "unknown option, or too many arguments",
                ErrorKind::InvalidSubcommand | ErrorKind::MissingSubcommand => {
                    "no such command (--help tells which there are)"
                }
                ErrorKind::ArgumentConflict => "options that exclude each other",
                ErrorKind::InvalidValue => "an option without its value",
                _ => "bad arguments",
            };
            let which = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(which)) if error.kind() == ErrorKind::UnknownArgument => {
                    format!(" ({})", Shown(which.as_bytes()))
                }
                _ => String::new(),
            };
            Err(Unparsed::Wrong(format!("{what}{which}; {usage}")))
        }
    }
}

/// The line for a caller that is no failure; it stands alone, as the starters know it.
fn notice(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// So many descriptors a walk of two trees and a conversation need at least.
const FEWEST_DESCRIPTORS: u64 = 32;

/// Lets this process have as many descriptors as its hard limit allows, which must be enough;
/// returns its soft limit from before. Trees are not walked half-way, and then there is no
/// descriptor left to remove what was made.
fn enough_descriptors() -> anyhow::Result<u64> {
    let before = sys::fd::raise_limit().context("cannot raise the limit of open files")?;
    let limit = sys::fd::soft_limit().context("cannot read the limit of open files")?;
    if limit < FEWEST_DESCRIPTORS {
        bail!(
            "the hard limit of open files is {limit}, and {FEWEST_DESCRIPTORS} are needed: raise it (ulimit -Hn)"
        );
    }
    Ok(before)
}

/// `<max-retries>` and `<min-delay>`.
fn patience(max_retries: &OsStr, min_delay: &OsStr) -> anyhow::Result<Patience> {
    Ok(Patience {
        max_retries: number("max-retries", max_retries)?,
        min_delay: number("min-delay", min_delay)?,
    })
}

/// A number without a sign.
fn number<T: std::str::FromStr>(what: &str, text: &OsStr) -> anyhow::Result<T> {
    let digits = text.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(number) => Ok(number),
        None => bail!("<{what}> is not a number of the right size: '{}'", Shown::os(text)),
    }
}

/// `GLEXEC_HELPERS_IDLE_TIMEOUT`: seconds, 0 for ever.
fn idle_limit() -> anyhow::Result<Duration> {
    const NAME: &str = "GLEXEC_HELPERS_IDLE_TIMEOUT";
    match std::env::var_os(NAME) {
        None => Ok(Duration::from_secs(600)),
        Some(text) => number(NAME, &text).map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(definition: Command, arguments: &[&str]) -> Option<Vec<OsString>> {
        let arguments = std::iter::once("x").chain(arguments.iter().copied()).map(OsString::from);
        parse(definition, arguments).ok().map(|matches| words(&matches))
    }

    #[test]
    fn definitions_are_consistent() {
        for definition in [
            setup::definition(),
            cleanup::definition(),
            run::definition(),
            kill::definition(),
            update_proxy::definition(),
        ] {
            definition.debug_assert();
        }
    }

    #[test]
    fn nothing_after_the_first_positional_argument_is_an_option() {
        let call = ["/glexec", "--help", "-V", "--", "--x"];
        assert_eq!(parsed(setup::definition(), &call), Some(call.map(OsString::from).to_vec()));
        let call = ["/glexec", "p", "/s", "/w", "-", "-", "-", "cmd", "", "--help", "--", "-h"];
        assert_eq!(parsed(run::definition(), &call), Some(call.map(OsString::from).to_vec()));
    }

    #[test]
    fn a_wrong_number_of_arguments_or_an_unknown_option_is_a_usage_error() {
        for call in [
            &[][..],
            &["/glexec"],
            &["/glexec", "p", "/s", "1", "1", "1"],
            &["--bogus", "p", "/s", "1", "1"],
        ] {
            assert_eq!(parsed(setup::definition(), call), None, "{call:?}");
        }
    }

    #[test]
    fn numbers_have_no_sign_and_nothing_after_them() {
        for text in ["", "-1", "+1", "1s", "1.5", " 1", "99999999999999999999"] {
            assert!(number::<u32>("x", OsStr::new(text)).is_err(), "{text}");
        }
        assert_eq!(number::<u32>("x", OsStr::new("007")).ok(), Some(7));
    }
}
