//! `condor_glexec_job_wrapper`: see [`glexec_helpers::cli::job_wrapper`].
#![forbid(unsafe_code)]

use glexec_helpers::cli;

fn main() -> std::process::ExitCode {
    cli::as_the_caller("condor_glexec_job_wrapper", 1, cli::job_wrapper::main)
}
