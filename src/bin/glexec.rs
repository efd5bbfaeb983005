//! `glexec`: see [`glexec::command`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec::command::main()
}
