//! `condor_glexec_run`: see [`glexec_helpers::cli::run`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec_helpers::cli::run::main()
}
