//! What the definitions and help texts of the helpers have in common.
//!
//! A help text has at most 80 columns; the text of an option has 70, since it is indented.
//! `examples/pages/help.rs` reads the help text for the man page, and documents its layout.

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
    Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .after_help(text)
        .override_usage(usage(name, bracketed(positional)))
        .arg(values)
}

/// The usage of a command, in lines of at most 80 columns with the heading `Usage: `.
pub fn usage(name: &str, arguments: impl IntoIterator<Item = String>) -> String {
    const COLUMNS: usize = 80 - "Usage: ".len();
    const INDENT: &str = "         ";
    let mut lines = vec![name.to_owned()];
    for argument in arguments {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + argument.chars().count() <= COLUMNS => {
                line.push(' ');
                line.push_str(&argument);
            }
            _ => lines.push(argument),
        }
    }
    lines.join(&format!("\n{INDENT}"))
}

/// Positional arguments as the usage shows them.
pub fn bracketed(positional: &[&str]) -> Vec<String> {
    positional.iter().map(|name| format!("<{name}>")).collect()
}

/// An option with a value.
pub fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).value_parser(ValueParser::os_string()).help(help)
}

/// An option without a value.
pub fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// The explanation of the arguments of [`super::arguments::retries`].
pub const RETRIES: &str =
    "  <max-retries>  how many times a call of the switcher is repeated after it has
                 ended with status 202 or 203
  <min-delay>    seconds before the first repetition; each later pause is this
                 time multiplied by a random number from 1 to the number of
                 failed calls so far (at most 100)
";

/// The variable that [`super::environment::idle_timeout`] reads.
pub const IDLE_TIMEOUT: &str = "  GLEXEC_HELPERS_IDLE_TIMEOUT
          the idle timeout: this program stops waiting for the switcher or the
          agent after this many seconds without progress; 0 means no limit
          (default: 600)
";

/// The variable that [`super::environment::links`] reads.
pub const LINKS: &str = "  GLEXEC_HELPERS_LINKS
          what becomes of a symbolic link that leads out of the sandbox: 'copy'
          replaces it by a copy of the regular file that it leads to, if the job
          user can read that file; 'drop' removes it; 'keep' leaves it as it is,
          which is unsafe if a program then follows it with more rights than the
          job user has (default: copy)
";

/// The variable that [`super::environment::handover`] reads.
pub const HANDOVER: &str = "  GLEXEC_HELPERS_HANDOVER
          how a sandbox changes hands: 'auto' changes the owner of its files
          where the switcher is the glexec of this project and a copy is not
          faster; 'own' does so wherever it is possible; 'copy' copies the files
          (default: auto). A sandbox whose owner cannot be changed is copied
";

/// The variables of the log.
pub const LOG: &str = "  GLEXEC_HELPERS_LOG
          the log, to which each operation adds one line of JSON: the path of a
          regular file, 'syslog' or 'stderr' (default: no log)
  GLEXEC_ID
          an identifier added to each log line (default: an identifier of the
          sandbox)
";
