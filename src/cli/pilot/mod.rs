//! `condor_glexec_pilot`: pilots, which have no starter, use one command; administrators use it to
//! check a node.
//!
//! - `run`, `recover`, `renew`, `doctor`: the subcommands;
//! - `wrap`, `sweep`: those for a starter of HTCondor, also by the names of links;
//! - of run: `run_definition`: its options; `run_order`: reading them; `variables`: the payload's
//!   variables; `world`: its world; `limits`: its limits; `report`: the report;
//! - `options`: the options that several subcommands have; `status`: the exit statuses;
//! - `steps`: what is logged and reported of each step; `progress`: the progress of a transfer.

mod doctor;
mod doctor_condor;
mod limits;
mod options;
mod progress;
mod recover;
mod renew;
mod report;
mod run;
mod run_definition;
mod run_order;
mod status;
mod steps;
mod sweep;
mod variables;
mod world;
mod wrap;

use std::fmt::Display;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Command;
use status::PilotStatus;
use sys::spawn::Inherited;

use super::arguments::{self, NotParsed};
use super::definition::{HANDOVER, IDLE_TIMEOUT, LINKS, LOG};
use super::descriptors;

/// The command's name.
const NAME: &str = "condor_glexec_pilot";

/// The command's definition.
pub fn definition() -> Command {
    Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs a command as another user, with its input and output files.")
        .after_help(format!(
            "\
'condor_glexec_pilot help <command>' explains a command, with its options and
exit statuses.

Environment:
  X509_USER_PROXY
          the credential for the switcher, if --credential is not given
{LINKS}{HANDOVER}{IDLE_TIMEOUT}{LOG}"
        ))
        .override_usage("condor_glexec_pilot run|recover|renew-proxy|wrap|sweep|doctor [options] …")
        .subcommand_required(true)
        .args_override_self(true)
        .subcommand(run_definition::definition())
        .subcommand(recover::definition())
        .subcommand(renew::definition())
        .subcommand(wrap::definition())
        .subcommand(sweep::definition())
        .subcommand(doctor::definition())
}

/// Runs the command.
pub fn main() -> ExitCode {
    sys::signal::default_sigchld();
    let umask = sys::process::umask(0o077);
    sys::signal::ignore_sigxfsz();
    if let Some(link) = wrap::Link::of_this_call() {
        return link.main(umask);
    }
    let matches = match arguments::parse(definition(), std::env::args_os()) {
        Ok(matches) => matches,
        Err(NotParsed::HelpPrinted) => return PilotStatus::Success.into(),
        Err(NotParsed::UsageError(message)) => return refuse(&anyhow!(message)),
    };
    // The caller's other descriptors must not reach the payload.
    if let Err(cause) = sys::inherited::set_cloexec_above_2() {
        return refuse(&anyhow!("cannot close the caller's descriptors: {cause}"));
    }
    let inherited = match descriptors::raise_limit() {
        Ok(descriptors) => Inherited { umask, descriptors: Some(descriptors) },
        Err(error) => return refuse(&error),
    };
    match matches.subcommand() {
        Some(("run", matches)) => run::main(matches, inherited),
        Some(("recover", matches)) => recover::main(matches),
        Some(("renew-proxy", matches)) => renew::main(matches),
        Some(("wrap", matches)) => wrap::main(matches, inherited),
        Some(("sweep", matches)) => sweep::main(matches),
        Some(("doctor", matches)) => doctor::main(matches),
        _ => refuse(&anyhow!("there is no command")),
    }
}

/// Prints a line on standard error, with the command's name.
fn say(line: impl Display) {
    command::say(NAME, line);
}

/// Prints a usage error, and returns the exit status for it.
fn refuse(error: &anyhow::Error) -> ExitCode {
    say(format_args!("{error:#}"));
    PilotStatus::UsageError.into()
}

/// Prints the error of an operation, if there is one, and returns the exit status.
fn end(result: error::Result<()>) -> ExitCode {
    match result {
        Ok(()) => PilotStatus::Success.into(),
        Err(error) => {
            say(error);
            PilotStatus::Failed.into()
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_consistent() {
        super::definition().debug_assert();
    }
}
