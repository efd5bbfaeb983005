//! `glexec`: see [`glexec_helpers::cli::glexec`].
#![forbid(unsafe_code)]

use glexec_helpers::cli;

fn main() -> std::process::ExitCode {
    cli::as_the_caller("glexec", 202, cli::glexec::main)
}
