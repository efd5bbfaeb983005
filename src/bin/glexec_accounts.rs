//! `glexec_accounts`: see [`accounts::command`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    command::as_the_caller("glexec_accounts", 1, accounts::command::main)
}
