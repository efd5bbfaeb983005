//! `condor_glexec_kill`: see [`glexec_helpers::cli::kill`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec_helpers::cli::kill::main()
}
