//! `condor_glexec_kill`: see [`glexec_helpers::cli::kill`].
#![forbid(unsafe_code)]

use glexec_helpers::cli;

fn main() -> std::process::ExitCode {
    command::as_the_caller("condor_glexec_kill", 1, cli::kill::main)
}
