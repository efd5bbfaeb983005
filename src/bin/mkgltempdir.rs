//! `mkgltempdir`: see [`glexec_helpers::cli::mkgltempdir`].
#![forbid(unsafe_code)]

use glexec_helpers::cli;

fn main() -> std::process::ExitCode {
    command::as_the_caller("mkgltempdir", 1, cli::mkgltempdir::main)
}
