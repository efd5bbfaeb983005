//! `condor_glexec_pilot`: see [`glexec_helpers::cli::pilot`].
#![forbid(unsafe_code)]

use glexec_helpers::cli;

fn main() -> std::process::ExitCode {
    command::as_the_caller("condor_glexec_pilot", 240, cli::pilot::main)
}
