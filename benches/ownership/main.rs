//! The bench of the change of owner: `glexec --give` and `--take`, and setup and cleanup in both
//! ways, compared with shell helpers (the baseline) through `glexec`; and how the times grow with
//! the number of files.
//!
//! `scripts/bench ownership` prepares the machine and runs it; help.txt says what is measured. Like
//! a test, it panics when a check fails, and also then leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod drawings;
#[path = "../handover/file_system.rs"]
mod file_system;
mod growth;
#[path = "../handover/memory.rs"]
mod memory;
#[path = "../handover/moves.rs"]
mod moves;
#[path = "../handover/on_trees.rs"]
mod on_trees;
mod report;
mod sides;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../handover/tally.rs"]
mod tally;
#[path = "../handover/trees.rs"]
mod trees;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use common::options::Options;
use common::program;
use file_system::FileSystem;
use on_trees::Outcome;
use serde_json::Value;
use sides::SIDES;
use trees::TREES;

fn main() -> ExitCode {
    let own = ["--fs", "--trees", "--growth", "--growth-fs", "--svg"];
    program::main(include_str!("help.txt"), &own, measure)
}

fn measure(options: &Options) -> Result<Vec<Value>, String> {
    let file_systems = options.chosen("--fs", &FileSystem::ALL, FileSystem::name)?;
    let trees = options.chosen("--trees", &TREES, |tree| tree.name)?;
    let order = growth::Order::read(options)?;
    let drawings = options.list("--svg").map(|path| path.join(","));
    if let Some(folder) = &drawings {
        fs::create_dir_all(folder).map_err(|error| format!("cannot create {folder}: {error}"))?;
    }
    let mut outcomes = Vec::new();
    for file_system in file_systems {
        let more = on_trees::measure(file_system, &trees, options, SIDES);
        println!("{}", report::table(&more));
        outcomes.extend(more);
    }
    let grown = growth::measure(&order, options);
    println!("{}", growth::table(&order, &grown));
    if let Some(folder) = drawings {
        let folder = Path::new(&folder);
        fs::write(folder.join("ownership-ratios.svg"), drawings::ratios(&outcomes)).unwrap();
        fs::write(folder.join("ownership-growth.svg"), drawings::growth(&order, &grown)).unwrap();
    }
    let samples = outcomes.iter().map(Outcome::samples);
    Ok(samples.chain(grown.iter().map(|step| step.samples(&order))).collect())
}
