//! `condor_glexec_pilot`: see [`glexec_helpers::cli::pilot`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec_helpers::cli::pilot::main()
}
