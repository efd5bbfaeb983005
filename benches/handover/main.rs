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
mod report;
mod sides;
#[path = "../../tests/support/mod.rs"]
mod support;
mod tally;
mod trees;

use std::process::ExitCode;

use common::options::Options;
use common::times::Times;
use common::{program, rounds};
use file_system::{FileSystem, Mounted, Room};
use report::Outcome;
use serde_json::Value;
use sides::SIDES;
use support::Site;
use trees::{TREES, Tree};

fn main() -> ExitCode {
    program::main(include_str!("help.txt"), &["--fs", "--trees"], measure)
}

fn measure(options: &Options) -> Result<Vec<Value>, String> {
    let file_systems = options.chosen("--fs", &FileSystem::ALL, FileSystem::name)?;
    let trees = options.chosen("--trees", &TREES, |tree| tree.name)?;
    let mut samples = Vec::new();
    for file_system in file_systems {
        let outcomes = measure_on(file_system, &trees, options);
        println!("{}", report::table(&outcomes));
        samples.extend(outcomes.iter().map(Outcome::samples));
    }
    Ok(samples)
}

fn measure_on(file_system: FileSystem, trees: &[Tree], options: &Options) -> Vec<Outcome> {
    let site = Site::new();
    let mounted = Mounted::new(file_system, &site, Room::for_trees(options.small));
    let outcome = |tree: &Tree| {
        eprintln!("bench: {} on {}", tree.name, file_system.name());
        Outcome {
            file_system: file_system.name(),
            mounted: mounted.facts(),
            tree: tree.name,
            times: measure_tree(&site, tree, options),
        }
    };
    trees.iter().map(outcome).collect()
}

fn measure_tree(site: &Site, tree: &Tree, options: &Options) -> Times {
    // The tiny tree takes milliseconds, the others seconds: it gets more rounds.
    let more = if tree.name == "tiny" && !options.small { 7 } else { 1 };
    rounds::run(more * options.rounds, SIDES, |side| {
        // Memory for the tree, its copy, and what the file system below the mount caches of both.
        memory::touch_and_free(4 * tree.bytes(options.small));
        let sandbox = site.sandbox("sandbox");
        tree.fill(&sandbox, options.small);
        side(site, &sandbox)
    })
}
