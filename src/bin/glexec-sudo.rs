//! `glexec-sudo`: see [`glexec_helpers::cli::glexec_sudo`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec_helpers::cli::glexec_sudo::main()
}
