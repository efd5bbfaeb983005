//! `glexec_sessions`: see [`glexec::sessions`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    command::as_the_caller("glexec_sessions", 1, glexec::sessions::main)
}
