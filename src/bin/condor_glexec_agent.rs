//! `condor_glexec_agent`: see [`agent::agent`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    command::as_the_caller("condor_glexec_agent", 1, agent::agent::main)
}
