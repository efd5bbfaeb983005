//! Reading a command line.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;

use anyhow::{anyhow, bail};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};
use error::Shown;

use super::definition::POSITIONAL;
use crate::batch::Retries;

/// Why a command line asks for no operation.
pub enum NotParsed {
    /// Help or the version was asked for, and is printed.
    HelpPrinted,
    /// A usage error: the message.
    UsageError(String),
}

/// Parses the arguments; the first one is the program's name.
pub fn parse(
    definition: Command,
    arguments: impl Iterator<Item = OsString>,
) -> Result<ArgMatches, NotParsed> {
    let arguments: Vec<OsString> = arguments.collect();
    let subcommand = arguments.get(1).and_then(|name| definition.find_subcommand(name));
    let usage = subcommand.unwrap_or(&definition).clone().render_usage().to_string();
    let usage = usage.split_ascii_whitespace().skip(1).collect::<Vec<_>>().join(" ");
    definition.try_get_matches_from(arguments).map_err(|error| {
        if error.use_stderr() {
            NotParsed::UsageError(format!("{}; usage: {usage}", explanation(&error)))
        } else {
            let _ = write!(std::io::stdout(), "{error}");
            NotParsed::HelpPrinted
        }
    })
}

/// The parser's error as a phrase.
fn explanation(error: &clap::Error) -> String {
    let phrase = match error.kind() {
        ErrorKind::MissingRequiredArgument
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::TooFewValues => "too few arguments",
        ErrorKind::TooManyValues => "too many arguments",
        ErrorKind::UnknownArgument => "unknown option, or too many arguments",
        ErrorKind::InvalidSubcommand | ErrorKind::MissingSubcommand => {
            "no such command (--help lists the commands)"
        }
        ErrorKind::ArgumentConflict => "mutually exclusive options",
        ErrorKind::InvalidValue => "an option without its value",
        _ => "bad arguments",
    };
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) if error.kind() == ErrorKind::UnknownArgument => {
            format!("{phrase} ({})", Shown(argument.as_bytes()))
        }
        _ => phrase.to_owned(),
    }
}

/// The positional arguments of a command that takes any number of them.
pub fn positional(matches: &ArgMatches) -> Vec<OsString> {
    matches.get_many(POSITIONAL).unwrap_or_default().cloned().collect()
}

/// The positional arguments of a command that takes `N`.
pub fn exactly<const N: usize>(matches: &ArgMatches) -> anyhow::Result<[OsString; N]> {
    positional(matches).try_into().map_err(|_| anyhow!("there must be {N} arguments"))
}

/// How often, and after which delay, a failed call of the switcher is repeated.
pub fn retries(max_retries: &OsStr, min_delay: &OsStr) -> anyhow::Result<Retries> {
    Ok(Retries {
        max: number("<max-retries>", max_retries)?,
        min_delay: number("<min-delay>", min_delay)?,
    })
}

/// A decimal number without a sign. `name` is that of the argument or variable, for the message.
pub fn number<T: std::str::FromStr>(name: &str, text: &OsStr) -> anyhow::Result<T> {
    let digits = text.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(number) => Ok(number),
        None => bail!("{name} must be a number without a sign, in range: '{}'", Shown::os(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{cleanup, kill, run, setup, update_proxy};
    use super::*;

    fn parsed(definition: Command, arguments: &[&str]) -> Option<Vec<OsString>> {
        let arguments = std::iter::once("x").chain(arguments.iter().copied()).map(OsString::from);
        parse(definition, arguments).ok().map(|matches| positional(&matches))
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
