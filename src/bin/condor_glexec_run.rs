//! `condor_glexec_run`: see [`glexec_helpers::cli::run`].
#![forbid(unsafe_code)]

use glexec_helpers::cli;

fn main() -> std::process::ExitCode {
    command::as_the_caller("condor_glexec_run", 1, cli::run::main)
}
