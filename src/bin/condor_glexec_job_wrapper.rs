//! `condor_glexec_job_wrapper`: see [`agent::wrapper`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    command::as_the_caller("condor_glexec_job_wrapper", 1, agent::wrapper::main)
}
