//! `condor_glexec_pilot recover`

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::options;
use super::steps::{self, Record};
use crate::cli::definition::{flag, option};
use crate::cli::environment;

/// The definition of the subcommand.
pub fn definition() -> Command {
    Command::new("recover")
        .about("Brings the files back after a pilot or a starter was killed.")
        .override_usage("condor_glexec_pilot recover [options] <sandbox>")
        .next_line_help(true)
        .after_help(
            "\
recover kills the processes of the payload or job that are left, and brings its
files back to the caller. It refuses a sandbox on which a running pilot works. A
second call changes nothing.

Exit status:
  0    the files are back, or with --discard removed
  1    recover failed; it can be called again
  240  usage error or bad input; nothing was changed

Environment: see 'condor_glexec_pilot --help'.

Example:
  condor_glexec_pilot recover --output results /var/tmp/pilot_0123abcd
",
        )
        .arg(options::glexec().help(
            "The identity switcher: a path, or a name that is searched for in PATH\n\
             [default: the first that maps to the sandbox's owner]",
        ))
        .arg(option(
            "output",
            "DIR",
            "Where the files are put: an empty directory, or one that does not\n\
             exist [default: in the sandbox, which then belongs to the caller]",
        ))
        .arg(
            flag("discard", "Deletes the sandbox, and the directories left beside it")
                .conflicts_with("output"),
        )
        .arg(options::sandbox())
}

/// Runs the subcommand.
pub fn main(matches: &ArgMatches) -> ExitCode {
    let arguments = options::abandoned_sandbox(matches).and_then(|sandbox| {
        Ok((sandbox, options::path(matches, "output")?, environment::links()?))
    });
    let (sandbox, output, links) = match arguments {
        Ok(arguments) => arguments,
        Err(error) => return super::refuse(&error),
    };
    let result = steps::record(&sandbox.path(), &mut Record::default(), |step_log| {
        step_log.log_id = sandbox.log_id();
        match matches.get_flag("discard") {
            true => sandbox.discard(step_log),
            false => sandbox.recover(links, output.as_deref(), step_log),
        }
    });
    super::end(result)
}
