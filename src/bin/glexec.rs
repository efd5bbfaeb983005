//! `glexec`: see [`glexec::command`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    command::as_the_caller("glexec", command::Status::Internal as u8, glexec::command::main)
}
