//! The bench of killing: one call of condor_glexec_kill for a family, compared with one call for
//! each of its processes.
//!
//! `scripts/bench killing` prepares the machine and runs it; help.txt says what is measured. Like a
//! test, it panics when a check fails, and also then leaves no process running.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod family;
mod report;
mod sides;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

use common::options::{Options, number};
use common::{program, rounds};
use report::Outcome;
use serde_json::Value;
use sides::{Job, SIDES};

fn main() -> ExitCode {
    program::main(include_str!("help.txt"), &["--sizes"], measure)
}

fn measure(options: &Options) -> Result<Vec<Value>, String> {
    let sizes = match options.list("--sizes") {
        Some(list) => {
            list.into_iter().map(|word| number("--sizes", word)).collect::<Result<_, _>>()?
        }
        None if options.small => vec![1, 20],
        None => vec![1, 100, 1000],
    };
    let job = Job::new();
    let outcome = |processes| {
        eprintln!("bench: killing {processes}");
        let times =
            rounds::run(options.rounds, SIDES, |(name, side)| [(name, side(&job, processes))]);
        Outcome { processes, times }
    };
    let outcomes: Vec<Outcome> = sizes.into_iter().map(outcome).collect();
    println!("{}", report::table(&outcomes));
    Ok(outcomes.iter().map(Outcome::samples).collect())
}
