//! `glexec_wrapenv`: see [`envwrap::wrap`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    command::as_the_caller("glexec_wrapenv", 1, envwrap::wrap::main)
}
