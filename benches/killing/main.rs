//! The bench of killing: a family ended by one call of condor_glexec_kill, beside one call for each
//! of its processes.
//!
//! `scripts/bench killing` prepares the machine and runs it; help.txt says what is measured. As a
//! test does, it panics when something is not as it must be, and leaves nothing running then
//! either.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod family;
mod options;
mod report;
mod sides;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

use common::times::Times;
use common::{json, program};
use options::Options;
use report::Outcome;
use sides::{Job, SIDES};

fn main() -> ExitCode {
    program::main(include_str!("help.txt"), Options::parse, measure_all)
}

fn measure_all(options: Options) {
    let job = Job::new();
    let outcome = |processes: &usize| {
        eprintln!("bench: killing {processes}");
        Outcome { processes: *processes, times: rounds(&job, *processes, options.common.rounds) }
    };
    let outcomes: Vec<Outcome> = options.sizes.iter().map(outcome).collect();
    println!("{}", report::table(&outcomes));
    if let Some(file) = options.common.json {
        let samples: Vec<_> = outcomes.iter().map(Outcome::samples).collect();
        json::write(file, options.common.small, &samples);
    }
}

/// Measures every side in every round, so that a machine that gets slower gets slower for all of
/// them.
fn rounds(job: &Job, processes: usize, rounds: usize) -> Times {
    let mut times = Times::new();
    let mut sides = SIDES;
    for _ in 0..rounds {
        fastrand::shuffle(&mut sides);
        for (name, side) in sides {
            times.entry(name).or_default().push(side(job, processes));
        }
    }
    times
}
