//! What people and programs read of the outcome.

use serde_json::{Value, json};

use super::common::times::{self, Times};
use super::sides::{FAMILY, ONE_BY_ONE, SWITCHER};

/// What was measured with families of one size.
pub struct Outcome {
    pub processes: usize,
    pub times: Times,
}

impl Outcome {
    /// All samples, in milliseconds, in the order of the rounds.
    pub fn samples(&self) -> Value {
        json!({ "processes": self.processes, "ms": times::samples(&self.times) })
    }

    fn line(&self) -> String {
        let [switcher, one_by_one, family] =
            [SWITCHER, ONE_BY_ONE, FAMILY].map(|name| times::median(&self.times[name]));
        let ratio = one_by_one / family;
        format!(
            "{:<12}{switcher:>12.1}{one_by_one:>24.1}{family:>12.1}{ratio:>12.2}\n",
            self.processes
        )
    }
}

/// The table, for people: medians.
pub fn table(outcomes: &[Outcome]) -> String {
    let [switcher, one_by_one, family] =
        [SWITCHER, ONE_BY_ONE, FAMILY].map(|name| format!("{name}, ms"));
    let mut table =
        format!("{:<12}{switcher:>12}{one_by_one:>24}{family:>12}{:>12}\n", "processes", "ratio");
    table.extend(outcomes.iter().map(Outcome::line));
    table
}
