//! The result with the trees: a table of medians for each file system, and the samples.

use serde_json::{Value, json};

use super::common::table::Table;
use super::common::times::{self, Times};
use super::sides::{BASELINE, CALLS, COPY, OWN, SWITCHER};

const TABLE: Table<10> = Table([8, 10, 10, 10, 10, 10, 10, 10, 10, 10]);
/// The lines above the names of the columns: each of their cells is above several columns.
const GROUPS: Table<6> = Table([8, 10, 20, 20, 20, 20]);

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
    fn median(&self, name: &str) -> f64 {
        times::median(&self.times[name])
    }

    /// The medians of a side, there and back, divided by those of the baseline.
    pub fn ratios(&self, names: [&str; 2]) -> [f64; 2] {
        [0, 1].map(|direction| self.median(names[direction]) / self.median(BASELINE[direction]))
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

    fn line(&self) -> String {
        let milliseconds = [SWITCHER, BASELINE[0], BASELINE[1]].map(|name| self.median(name));
        let ratios = [CALLS, OWN, COPY].map(|names| self.ratios(names));
        let mut cells = [const { String::new() }; 10];
        cells[0] = self.tree.to_owned();
        let times = milliseconds.iter().map(|time| format!("{time:.1}"));
        let ratios = ratios.iter().flatten().map(|ratio| format!("{ratio:.2}"));
        for (cell, text) in cells[1..].iter_mut().zip(times.chain(ratios)) {
            *cell = text;
        }
        TABLE.line(&cells)
    }
}

/// The table of one file system: medians.
pub fn table(outcomes: &[Outcome]) -> String {
    let file_system = outcomes.first().map_or("", |outcome| outcome.file_system);
    let mut table = GROUPS.heading(["", "", "baseline, ms", "glexec", "helpers, own", "and copy"]);
    table += &TABLE.heading([
        file_system,
        "switcher",
        "setup",
        "cleanup",
        CALLS[0],
        CALLS[1],
        "setup",
        "cleanup",
        "setup",
        "cleanup",
    ]);
    table.extend(outcomes.iter().map(Outcome::line));
    table
}
