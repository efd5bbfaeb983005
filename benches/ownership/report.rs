//! The result with the trees: a table of medians for each file system, and the samples.

use super::common::table::Table;
use super::on_trees::Outcome;
use super::sides::{BASELINE, CALLS, COPY, OWN, SWITCHER};

const TABLE: Table<10> = Table([8, 10, 10, 10, 10, 10, 10, 10, 10, 10]);
/// The lines above the names of the columns: each of their cells is above several columns.
const GROUPS: Table<6> = Table([8, 10, 20, 20, 20, 20]);

impl Outcome {
    /// The medians of a side, there and back, divided by those of the baseline.
    pub fn ratios(&self, names: [&str; 2]) -> [f64; 2] {
        [0, 1].map(|direction| self.median(names[direction]) / self.median(BASELINE[direction]))
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
