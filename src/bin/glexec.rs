//! `glexec`: see [`glexec::command`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    command::as_the_caller("glexec", 202, glexec::command::main)
}
