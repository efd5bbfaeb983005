//! The result of the bench: a table of medians.

use super::common::table::Table;
use super::common::times::{self, Times};
use super::sides::{PILOTS, SIDES, SUDO};

const TABLE: Table<4> = Table([18, 10, 10, 15]);

/// The table of medians.
pub fn table(times: &Times) -> String {
    let median = |name: &str| times::median(&times[name]);
    let calls_of = |name: &str| PILOTS.into_iter().find(|(pilot, _)| *pilot == name);
    let to_calls = |name: &str| {
        let (_, calls) = calls_of(name)?;
        Some(format!("{:.2}", median(name) / calls.map(median).iter().sum::<f64>()))
    };
    let line = |name: &str| {
        TABLE.line(&[
            name.to_owned(),
            format!("{:.2}", median(name)),
            format!("{:.2}", median(name) / median(SUDO)),
            to_calls(name).unwrap_or_default(),
        ])
    };
    let heading = TABLE.heading(["switcher", "ms", "to sudo", "to its calls"]);
    heading + &SIDES.iter().map(|(name, _)| line(name)).collect::<String>()
}
