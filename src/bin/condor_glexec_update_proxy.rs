//! `condor_glexec_update_proxy`: see [`glexec_helpers::cli::update_proxy`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    glexec_helpers::cli::update_proxy::main()
}
