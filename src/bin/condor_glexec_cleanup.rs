//! `condor_glexec_cleanup`: see [`glexec_helpers::cli::cleanup`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec_helpers::cli::cleanup::main()
}
