//! `condor_glexec_setup`: see [`glexec_helpers::cli::setup`].
#![forbid(unsafe_code)]

use glexec_helpers::cli;

fn main() -> std::process::ExitCode {
    command::as_the_caller("condor_glexec_setup", 1, cli::setup::main)
}
