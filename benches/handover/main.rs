//! The bench of the hand-over: setup and cleanup, compared with shell helpers (the baseline) and
//! with other ways to move a tree, on several file systems.
//!
//! `scripts/bench handover` prepares the machine and runs it; help.txt says what is measured. Like
//! a test, it panics when a check fails, and also then leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod file_system;
mod memory;
mod moves;
mod on_trees;
mod report;
mod sides;
#[path = "../../tests/support/mod.rs"]
mod support;
mod tally;
mod trees;

use std::process::ExitCode;

use common::options::Options;
use common::program;
use file_system::FileSystem;
use on_trees::Outcome;
use serde_json::Value;
use sides::SIDES;
use trees::TREES;

fn main() -> ExitCode {
    program::main(include_str!("help.txt"), &["--fs", "--trees"], measure)
}

fn measure(options: &Options) -> Result<Vec<Value>, String> {
    let file_systems = options.chosen("--fs", &FileSystem::ALL, FileSystem::name)?;
    let trees = options.chosen("--trees", &TREES, |tree| tree.name)?;
    let mut samples = Vec::new();
    for file_system in file_systems {
        let outcomes = on_trees::measure(file_system, &trees, options, SIDES);
        println!("{}", report::table(&outcomes));
        samples.extend(outcomes.iter().map(Outcome::samples));
    }
    Ok(samples)
}
