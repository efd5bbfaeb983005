//! What people and programs read of the outcome.

use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

use serde_json::{Value, json};

use super::memory::meminfo;
use super::sides::{BASELINE, CP, FS_EXTRA, HELPERS, RSYNC, SWITCHER, Times};

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
        let mut times = milliseconds(&self.times[name]);
        times.sort_by(f64::total_cmp);
        let middle = times.len() / 2;
        if times.len() % 2 == 1 { times[middle] } else { f64::midpoint(times[middle - 1], times[middle]) }
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
    let mut table = format!("{:<8}{:>10}{:>20}{:>60}\n", "", "", "baseline, ms", "divided by the baseline");
    table += &format!("{file_system:<8}");
    for heading in ["switcher", "setup", "cleanup", "setup", "all gone", "cleanup", CP, RSYNC, FS_EXTRA] {
        table += &format!("{heading:>10}");
    }
    table.push('\n');
    table.extend(outcomes.iter().map(Outcome::line));
    table.extend(outcomes.iter().filter(|outcome| outcome.tree == "tiny").map(Outcome::above_switcher));
    table
}

/// All samples, in milliseconds, in the order of the rounds, and the facts about this machine.
pub fn json(outcomes: &[Outcome], small: bool) -> Value {
    let samples = |outcome: &Outcome| {
        let times: serde_json::Map<_, _> =
            outcome.times.iter().map(|(name, times)| ((*name).to_owned(), milliseconds(times).into())).collect();
        json!({ "fs": outcome.file_system, "mounted": outcome.mounted, "tree": outcome.tree, "ms": times })
    };
    json!({
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim(),
        "processors": available_parallelism().unwrap().get(),
        "memory": meminfo("MemTotal:"),
        "small": small,
        "outcomes": outcomes.iter().map(samples).collect::<Vec<_>>(),
    })
}

fn milliseconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1e3).collect()
}
