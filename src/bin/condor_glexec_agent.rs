//! `condor_glexec_agent`: see [`glexec_helpers::cli::agent`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec_helpers::cli::agent::main()
}
