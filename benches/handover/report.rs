//! What people and programs read of the outcome.

use serde_json::{Value, json};

use super::common::times::{self, Times};
use super::sides::{BASELINE, CP, FS_EXTRA, HELPERS, RSYNC, SWITCHER};

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

    /// All samples, in milliseconds, in the order of the rounds.
    pub fn samples(&self) -> Value {
        json!({ "fs": self.file_system, "mounted": self.mounted, "tree": self.tree, "ms": times::samples(&self.times) })
    }

    fn line(&self) -> String {
        let [setup, all_gone, cleanup] = HELPERS;
        let [baseline_setup, baseline_cleanup] = BASELINE;
        let mut line = format!("{:<8}", self.tree);
        for name in [SWITCHER, baseline_setup, baseline_cleanup] {
            line += &format!("{:>10.1}", self.median(name));
        }
        for name in [setup, all_gone, cleanup, CP, RSYNC, FS_EXTRA] {
            let baseline = if name == cleanup { baseline_cleanup } else { baseline_setup };
            line += &format!("{:>10.2}", self.median(name) / self.median(baseline));
        }
        line + "\n"
    }

    /// For a tree of which next to nothing is moved.
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

/// The table of one file system, for people: medians.
pub fn table(outcomes: &[Outcome]) -> String {
    let file_system = outcomes.first().map_or("", |outcome| outcome.file_system);
    let mut table =
        format!("{:<8}{:>10}{:>20}{:>60}\n", "", "", "baseline, ms", "divided by the baseline");
    table += &format!("{file_system:<8}");
    for heading in
        ["switcher", "setup", "cleanup", "setup", "all gone", "cleanup", CP, RSYNC, FS_EXTRA]
    {
        table += &format!("{heading:>10}");
    }
    table.push('\n');
    table.extend(outcomes.iter().map(Outcome::line));
    table.extend(
        outcomes.iter().filter(|outcome| outcome.tree == "tiny").map(Outcome::above_switcher),
    );
    table
}
