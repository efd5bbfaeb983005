//! The bench: setup and cleanup beside a baseline of shell and other ways to move a tree, on several file systems.
//!
//! `scripts/bench` prepares the machine and runs it; help.txt says what is measured. As a test does, it panics when
//! something is not as it must be, and leaves nothing behind then either.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

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

use file_system::{FileSystem, Mounted};
use options::Options;
use report::Outcome;
use sides::{SIDES, Times};
use support::Site;
use trees::Tree;

fn main() -> ExitCode {
    // cargo says --bench to every bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.iter().any(|word| word == "--help") {
        print!("{}", include_str!("help.txt"));
        return ExitCode::SUCCESS;
    }
    match Options::parse(words.into_iter()) {
        Ok(options) => {
            measure_all(options);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all(options: Options) {
    let mut outcomes = Vec::new();
    for file_system in &options.file_systems {
        let here = measure(*file_system, &options);
        println!("{}", report::table(&here));
        outcomes.extend(here);
    }
    if let Some(file) = options.json {
        serde_json::to_writer_pretty(file, &report::json(&outcomes, options.small))
            .expect("the JSON file can be written");
    }
}

fn measure(file_system: FileSystem, options: &Options) -> Vec<Outcome> {
    let site = Site::new();
    let mounted = Mounted::new(file_system, &site, options.small);
    let outcome = |tree: &Tree| {
        eprintln!("bench: {} on {}", tree.name, file_system.name());
        let times = rounds(&site, tree, options);
        Outcome { file_system: file_system.name(), mounted: mounted.facts(), tree: tree.name, times }
    };
    options.trees.iter().map(outcome).collect()
}

/// Measures every side in every round, so that a machine that gets slower gets slower for all of them.
fn rounds(site: &Site, tree: &Tree, options: &Options) -> Times {
    let mut times = Times::new();
    let mut sides = SIDES;
    // What takes milliseconds is measured more often than what takes seconds.
    let rounds = if tree.name == "tiny" && !options.small { 7 * options.rounds } else { options.rounds };
    for _ in 0..rounds {
        fastrand::shuffle(&mut sides);
        for side in sides {
            // Room for the tree, its copy, and what the file system below keeps of both.
            memory::touch_and_free(4 * tree.bytes(options.small));
            let sandbox = site.sandbox("sandbox");
            tree.plant(&sandbox, options.small);
            for (name, time) in side(site, &sandbox) {
                times.entry(name).or_default().push(time);
            }
        }
    }
    times
}
