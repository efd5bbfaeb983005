//! `condor_glexec_cleanup`: see [`glexec_helpers::cli::cleanup`].
#![forbid(unsafe_code)]

use glexec_helpers::cli;

fn main() -> std::process::ExitCode {
    command::as_the_caller("condor_glexec_cleanup", 1, cli::cleanup::main)
}
