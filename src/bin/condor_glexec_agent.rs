//! `condor_glexec_agent`: see [`glexec_helpers::cli::agent`].
#![forbid(unsafe_code)]

use glexec_helpers::cli;

fn main() -> std::process::ExitCode {
    cli::as_the_caller("condor_glexec_agent", 1, cli::agent::main)
}
