//! The result of the bench: a table of medians, and the samples.

use serde_json::{Value, json};

use super::common::table::Table;
use super::common::times::{self, Times};
use super::sides::{FAMILY, ONE_BY_ONE, SWITCHER};

const TABLE: Table<5> = Table([12, 12, 24, 12, 12]);

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
        TABLE.line(&[
            self.processes.to_string(),
            format!("{switcher:.1}"),
            format!("{one_by_one:.1}"),
            format!("{family:.1}"),
            format!("{:.2}", one_by_one / family),
        ])
    }
}

/// The table of medians.
pub fn table(outcomes: &[Outcome]) -> String {
    let [switcher, one_by_one, family] =
        [SWITCHER, ONE_BY_ONE, FAMILY].map(|name| format!("{name}, ms"));
    let heading = TABLE.heading(["processes", &switcher, &one_by_one, &family, "ratio"]);
    heading + &outcomes.iter().map(Outcome::line).collect::<String>()
}
