//! `glexec-sudo`: see [`glexec_sudo::command`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec_sudo::command::main()
}
