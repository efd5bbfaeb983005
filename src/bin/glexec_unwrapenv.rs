//! `glexec_unwrapenv`: see [`envwrap::unwrap`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    command::as_the_caller("glexec_unwrapenv", envwrap::unwrap::FAILED, envwrap::unwrap::main)
}
