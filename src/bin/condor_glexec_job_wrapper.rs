//! `condor_glexec_job_wrapper`: see [`glexec_helpers::cli::job_wrapper`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec_helpers::cli::job_wrapper::main()
}
