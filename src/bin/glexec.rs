//! `glexec`: see [`glexec_helpers::cli::glexec`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec_helpers::cli::glexec::main()
}
