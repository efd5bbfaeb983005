//! The result of the bench: a table of medians for each file system, and the samples.

use super::common::table::Table;
use super::moves::{CP, RSYNC};
use super::on_trees::Outcome;
use super::sides::{BASELINE, FS_EXTRA, HELPERS, SWITCHER};

const TABLE: Table<10> = Table([8, 10, 10, 10, 10, 10, 10, 10, 10, 10]);
/// The line above the names of the columns: each of its cells is above several columns.
const GROUPS: Table<4> = Table([8, 10, 20, 60]);

impl Outcome {
    fn line(&self) -> String {
        let [setup, all_gone, cleanup] = HELPERS;
        let [baseline_setup, baseline_cleanup] = BASELINE;
        let time = |name| format!("{:.1}", self.median(name));
        let ratio = |name, baseline| format!("{:.2}", self.median(name) / self.median(baseline));
        TABLE.line(&[
            self.tree.to_owned(),
            time(SWITCHER),
            time(baseline_setup),
            time(baseline_cleanup),
            ratio(setup, baseline_setup),
            ratio(all_gone, baseline_setup),
            ratio(cleanup, baseline_cleanup),
            ratio(CP, baseline_setup),
            ratio(RSYNC, baseline_setup),
            ratio(FS_EXTRA, baseline_setup),
        ])
    }

    /// What a side takes beside the call of the switcher, for a tree with almost no data.
    fn above_switcher(&self) -> String {
        let above = |name| format!("{name} {:.1} ms", self.median(name) - self.median(SWITCHER));
        let names = HELPERS.into_iter().chain(BASELINE);
        format!(
            "{} above one bare call of the switcher: {}\n",
            self.tree,
            names.map(above).collect::<Vec<_>>().join("; ")
        )
    }
}

/// The table of one file system: medians.
pub fn table(outcomes: &[Outcome]) -> String {
    let file_system = outcomes.first().map_or("", |outcome| outcome.file_system);
    let mut table = GROUPS.heading(["", "", "baseline, ms", "divided by the baseline"]);
    table += &TABLE.heading([
        file_system,
        "switcher",
        "setup",
        "cleanup",
        "setup",
        "all gone",
        "cleanup",
        CP,
        RSYNC,
        FS_EXTRA,
    ]);
    table.extend(outcomes.iter().map(Outcome::line));
    let tiny = outcomes.iter().filter(|outcome| outcome.tree == "tiny");
    table.extend(tiny.map(Outcome::above_switcher));
    table
}
