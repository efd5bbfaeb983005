//! `glexecd`: see [`accountd::command`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    accountd::command::main()
}
