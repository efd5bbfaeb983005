//! The bench: setup and cleanup beside a baseline of shell and other ways to move a tree, on
//! several file systems.
//!
//! `scripts/bench` prepares the machine and runs it; help.txt says what is measured. As a test
//! does, it panics when something is not as it must be, and leaves nothing behind then either.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod file_system;
mod memory;
mod options;
mod report;
mod sides;
#[path = "../../tests/support/mod.rs"]
mod support;
mod tally;
mod trees;

use std::process::ExitCode;

use common::options::Common;
use common::times::Times;
use common::{json, program};
use file_system::{FileSystem, Mounted};
use options::Options;
use report::Outcome;
use sides::SIDES;
use support::Site;
use trees::Tree;

fn main() -> ExitCode {
    program::main(include_str!("help.txt"), Options::parse, measure_all)
}

fn measure_all(options: Options) {
    let mut outcomes = Vec::new();
    for file_system in &options.file_systems {
        let here = measure(*file_system, &options);
        println!("{}", report::table(&here));
        outcomes.extend(here.iter().map(Outcome::samples));
    }
    if let Some(file) = options.common.json {
        json::write(file, options.common.small, &outcomes);
    }
}

fn measure(file_system: FileSystem, options: &Options) -> Vec<Outcome> {
    let site = Site::new();
    let mounted = Mounted::new(file_system, &site, options.common.small);
    let outcome = |tree: &Tree| {
        eprintln!("bench: {} on {}", tree.name, file_system.name());
        let times = rounds(&site, tree, options);
        Outcome {
            file_system: file_system.name(),
            mounted: mounted.facts(),
            tree: tree.name,
            times,
        }
    };
    options.trees.iter().map(outcome).collect()
}

/// Measures every side in every round, so that a machine that gets slower gets slower for all of
/// them.
fn rounds(site: &Site, tree: &Tree, options: &Options) -> Times {
    let Common { rounds, small, .. } = options.common;
    let mut times = Times::new();
    let mut sides = SIDES;
    // What takes milliseconds is measured more often than what takes seconds.
    let rounds = if tree.name == "tiny" && !small { 7 * rounds } else { rounds };
    for _ in 0..rounds {
        fastrand::shuffle(&mut sides);
        for side in sides {
            // Room for the tree, its copy, and what the file system below keeps of both.
            memory::touch_and_free(4 * tree.bytes(small));
            let sandbox = site.sandbox("sandbox");
            tree.plant(&sandbox, small);
            for (name, time) in side(site, &sandbox) {
                times.entry(name).or_default().push(time);
            }
        }
    }
    times
}
