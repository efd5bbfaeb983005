//! A starter for one job on a command line, for scripts/demo and for experiments. Not installed.
//!
//! `starter <environment> <stdin> <stdout> <stderr> <condor_glexec_run> [arg…]`: starts run with
//! the arguments, hands the job its environment (V2-raw syntax) and the three files as descriptors,
//! prints what the wrapper says if the job is not executed, and ends with the status of run.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "starter.rs"]
mod starter;

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [environment, input, output, errors, run, arguments @ ..] = &words[..] else {
        eprintln!(
            "usage: starter <environment> <stdin> <stdout> <stderr> <condor_glexec_run> [arg…]"
        );
        return ExitCode::from(1);
    };
    let (input, output) =
        (File::open(input).expect("the input"), File::create(output).expect("the output"));
    let errors = File::create(errors).expect("the file for errors");
    let mut command = Command::new(run);
    command.args(arguments);
    // The working directory of a starter is the sandbox; its child enters the sandbox by path. The
    // two may be different directories.
    if let Some(sandbox) = arguments.get(2) {
        command.current_dir(sandbox);
    }
    let mut starter = starter::Starter::start(command);
    if !starter.is_greeted() {
        eprintln!("the wrapper was not reached; the lines above say why");
        let status = starter.wait();
        return ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1));
    }
    let failure = starter.hand_over(environment.as_bytes(), [&input, &output, &errors]);
    if !failure.is_empty() {
        eprintln!("the wrapper says: {}", starter::message(&failure));
    }
    let status = starter.wait();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
