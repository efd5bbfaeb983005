//! `condor_glexec_setup`: see [`glexec_helpers::cli::setup`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec_helpers::cli::setup::main()
}
