//! `condor_glexec_pilot renew-proxy`

use std::path::Path;
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};

use super::options;
use super::steps::{self, Record};
use crate::batch::credential::read_private_credential_at;
use crate::batch::pilot::AbandonedSandbox;
use crate::batch::pilot::renew::NewCredentials;
use crate::cli::definition::option;

/// The definition of the subcommand.
pub fn definition() -> Command {
    Command::new("renew-proxy")
        .about("Replaces the credentials of a running payload.")
        .override_usage("condor_glexec_pilot renew-proxy [options] <sandbox> [<file>]")
        .next_line_help(true)
        .after_help(
            "\
The payload has a proxy, and the switcher that runs it has a credential: see the
options --proxy and --credential of 'run'. renew-proxy replaces one of them, or
both, while the payload runs. A payload that was started without --proxy also
gets the new proxy, but its X509_USER_PROXY stays unset.

Exit status:
  0    the files are replaced
  1    renew-proxy failed
  240  usage error or bad input; nothing was changed

Environment: see 'condor_glexec_pilot --help'.

Example:
  condor_glexec_pilot renew-proxy /var/tmp/pilot_0123abcd new-proxy
",
        )
        .arg(options::glexec().help(
            "The identity switcher: a path, or a name that is searched for in PATH\n\
             [default: the first that maps to the sandbox's owner]",
        ))
        .arg(option(
            "credential",
            "FILE",
            "A new credential for the switcher, mode 0600; the file is copied\n\
             [default: the credential stays as it is]",
        ))
        .arg(options::sandbox())
        .arg(
            Arg::new("file")
                .value_name("file")
                .value_parser(ValueParser::os_string())
                .required_unless_present("credential")
                .help(
                    "A new proxy for the payload, mode 0600; the file is copied. It can\n\
                     be omitted if --credential is given",
                ),
        )
}

/// Runs the subcommand.
pub fn main(matches: &ArgMatches) -> ExitCode {
    let (sandbox, new) = match arguments(matches) {
        Ok(arguments) => arguments,
        Err(error) => return super::refuse(&error),
    };
    let result = steps::record(&sandbox.path(), &mut Record::default(), |step_log| {
        step_log.log_id = sandbox.log_id();
        step_log.step("renew-proxy", |_| sandbox.renew(&new))
    });
    super::end(result)
}

/// The sandbox, and the content of the new files.
fn arguments(matches: &ArgMatches) -> anyhow::Result<(AbandonedSandbox, NewCredentials)> {
    let sandbox = options::abandoned_sandbox(matches)?;
    let read = |name: &str| {
        options::value(matches, name)
            .map(|path| read_private_credential_at(Path::new(path)))
            .transpose()
    };
    Ok((sandbox, NewCredentials { credential: read("credential")?, proxy: read("file")? }))
}
