//! Measurements of the benches that move trees: each tree on each file system.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::common::options::Options;
use super::common::rounds;
use super::common::times::{self, Times};
use super::file_system::{FileSystem, Mounted, Room};
use super::memory;
use super::support::Site;
use super::trees::Tree;

/// What was measured with one tree on one file system.
pub struct Outcome {
    pub file_system: &'static str,
    /// Its line in the table of mounts.
    pub mounted: String,
    pub tree: &'static str,
    pub times: Times,
}

impl Outcome {
    /// In milliseconds.
    pub fn median(&self, name: &str) -> f64 {
        times::median(&self.times[name])
    }

    /// All samples, in milliseconds, in the order of the rounds.
    pub fn samples(&self) -> Value {
        json!({
            "fs": self.file_system,
            "mounted": self.mounted,
            "tree": self.tree,
            "ms": times::samples(&self.times),
        })
    }
}

/// Measures all sides with each tree on a file system. A side gets a sandbox with the tree, and
/// returns each time with its name.
pub fn measure<Measured, const SIDES: usize>(
    file_system: FileSystem,
    trees: &[Tree],
    options: &Options,
    sides: [fn(&Site, &Path) -> Measured; SIDES],
) -> Vec<Outcome>
where
    Measured: IntoIterator<Item = (&'static str, Duration)>,
{
    let site = Site::new();
    let mounted = Mounted::new(file_system, &site, Room::for_trees(options.small));
    let outcome = |tree: &Tree| {
        eprintln!("bench: {} on {}", tree.name, file_system.name());
        // The tiny tree takes milliseconds, the others seconds: it gets more rounds.
        let more = if tree.name == "tiny" && !options.small { 7 } else { 1 };
        let times = rounds::run(more * options.rounds, sides, |side| {
            // Memory for the tree, its copy, and what the file system below the mount caches of
            // both.
            memory::touch_and_free(4 * tree.bytes(options.small));
            let sandbox = site.sandbox("sandbox");
            tree.fill(&sandbox, options.small);
            side(&site, &sandbox)
        });
        Outcome {
            file_system: file_system.name(),
            mounted: mounted.facts(),
            tree: tree.name,
            times,
        }
    };
    trees.iter().map(outcome).collect()
}
