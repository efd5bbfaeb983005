//! `condor_glexec_update_proxy`: see [`glexec_helpers::cli::update_proxy`].
#![forbid(unsafe_code)]

use glexec_helpers::cli;

fn main() -> std::process::ExitCode {
    command::as_the_caller("condor_glexec_update_proxy", 1, cli::update_proxy::main)
}
