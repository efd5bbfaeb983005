//! What the definitions and help texts of the helpers have in common.
//!
//! A help text has at most 80 columns. `examples/pages/help.rs` reads it for the man page, and so
//! it is laid out in paragraphs, of which each may begin with a heading, and tables.

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command};

/// The id of the positional arguments in a definition.
pub const POSITIONAL: &str = "positional";

/// A helper whose positional arguments have these names.
pub fn helper(
    name: &'static str,
    about: &'static str,
    text: String,
    positional: &[&'static str],
) -> Command {
    let values = Arg::new(POSITIONAL)
        .value_names(positional.iter().copied())
        .num_args(positional.len())
        .required(true)
        .trailing_var_arg(true)
        .value_parser(ValueParser::os_string())
        .hide(true);
    let usage: String = positional.iter().map(|name| format!(" <{name}>")).collect();
    Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .after_help(text)
        .override_usage(format!("{name}{usage}"))
        .arg(values)
}

/// An option with a value.
pub fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).value_parser(ValueParser::os_string()).help(help)
}

/// An option without a value.
pub fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// The explanation of the arguments of [`super::arguments::patience`].
pub const RETRIES: &str = "\
  <max-retries>  how many times a call of the switcher is repeated after it has
                 ended with status 202 or 203
  <min-delay>    seconds before the first repetition; each later pause is this
                 time, multiplied by a random number between 1 and the number
                 of failed calls so far, or 100 if that is less
";

/// The variable that [`super::environment::idle_timeout`] reads.
pub const IDLE_TIMEOUT: &str = "  GLEXEC_HELPERS_IDLE_TIMEOUT
          the idle timeout: the switcher or the agent is given up after this
          many seconds without progress; 0 means no limit (default: 600)
";

/// The variable that [`super::environment::links`] reads.
pub const LINKS: &str = "  GLEXEC_HELPERS_LINKS
          what becomes of a symbolic link that leads out of the sandbox: 'copy'
          replaces it by a copy of the regular file that it leads to, if the job
          user can read that file; 'drop' removes it; 'keep' keeps it, and then
          no program should follow it with other rights than the job user's
          (default: copy)
";

/// The variables of the log.
pub const LOG: &str = "  GLEXEC_HELPERS_LOG
          where one line of JSON about each operation is written: the path of
          a file, 'syslog' or 'stderr' (default: no log)
  GLEXEC_ID
          an identifier added to each log line (default: an identifier of the
          sandbox)
";
