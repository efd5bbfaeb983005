//! `glexec_wrapenv`: prints its environment as the value of `GLEXEC_ENV`.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use command::leading::Leading;
use command::program::{Program, VERSION, option};
use command::say;
use error::Shown;

use crate::format::{LONGEST, encode};
use crate::names::Excluded;

/// The program's options and its help text.
pub const PROGRAM: Program = Program {
    name: "glexec_wrapenv",
    about: "Prints the environment as one value, for glexec_unwrapenv.",
    arguments: "[--exclude <name>[,<name>…]]…",
    operations: &[],
    options: &[
        option("exclude", "<names>", "Leave out these variables, too: names with commas"),
        VERSION,
    ],
    text: "\
A switcher gives its command (the payload) a new environment, but it passes the
variable GLEXEC_ENV on. glexec_wrapenv makes the value for this variable, in the
format of gLExec's glexec_wrapenv.pl. glexec_unwrapenv executes a command with
the variables in it. HOME, LOGNAME, USER, X509_USER_PROXY, _ and GLEXEC_ENV are
always left out. All others are in the value, secrets included: leave out what
the payload must not know.

Exit status: 0; 1 usage error, the value is too long for one variable (128 KiB),
or it cannot be written. Then nothing useful was printed.

Example:
  export GLEXEC_ENV=$(glexec_wrapenv --exclude SECRET)
  glexec glexec_unwrapenv -- env
",
};

/// Runs the program.
pub fn main() -> ExitCode {
    let result = match PROGRAM.read_leading(std::env::args_os().skip(1)) {
        Ok(Leading::Answered) => return ExitCode::SUCCESS,
        Ok(Leading::Command { options, words }) => wrap(&options, &words),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(PROGRAM.name, error);
            ExitCode::FAILURE
        }
    }
}

fn wrap(options: &[(&'static str, OsString)], words: &[OsString]) -> Result<(), String> {
    if let Some(word) = words.first() {
        return Err(format!("unexpected argument {}; {}", Shown::os(word), PROGRAM.usage()));
    }
    let excluded = Excluded::new(options);
    let variables: Vec<_> = std::env::vars_os().filter(|(name, _)| !excluded.has(name)).collect();
    let value = encode(variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())));
    if value.len() > LONGEST {
        return Err(format!(
            "the value has {} bytes, but a variable can have {LONGEST}: leave out large variables \
             with --exclude",
            value.len()
        ));
    }
    writeln!(std::io::stdout(), "{value}")
        .map_err(|error| format!("cannot write the value: {error}"))
}
