//! `condor_glexec_kill`: see [`glexec_helpers::cli::kill`].

use glexec_helpers::cli;

fn main() -> std::process::ExitCode {
    command::as_the_caller("condor_glexec_kill", 1, cli::kill::main)
}
