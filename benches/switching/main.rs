//! The bench of switching: /bin/true as another user, through each switcher.
//!
//! `scripts/bench switching` prepares the machine and runs it; help.txt says what is measured. As a
//! test does, it panics when something is not as it must be, and leaves nothing running then
//! either.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod options;
mod sides;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

use common::times::{self, Times, timed};
use common::{json, program};
use options::Options;
use serde_json::json;
use sides::{PILOTS, SIDES, SUDO, Scene};

fn main() -> ExitCode {
    program::main(include_str!("help.txt"), Options::parse, measure_all)
}

fn measure_all(options: Options) {
    let scene = Scene::new();
    eprintln!("bench: switching");
    let times = rounds(&scene, &options);
    println!("{}", table(&times));
    if let Some(file) = options.common.json {
        json::write(file, options.common.small, &[json!({ "ms": times::samples(&times) })]);
    }
}

/// Measures every side in every round, so that a machine that gets slower gets slower for all of
/// them. What is kept is the time of one call.
fn rounds(scene: &Scene, options: &Options) -> Times {
    let mut times = Times::new();
    let mut sides = SIDES;
    for _ in 0..options.common.rounds {
        fastrand::shuffle(&mut sides);
        for (name, side) in sides {
            let mut call = side(scene);
            let all = timed(|| (0..options.calls).for_each(|_| call.run()));
            times.entry(name).or_default().push(all / u32::try_from(options.calls).unwrap());
        }
    }
    times
}

/// The table, for people: medians.
fn table(times: &Times) -> String {
    let median = |name: &str| times::median(&times[name]);
    let sudo = median(SUDO);
    let to_calls = |name: &str| {
        let calls = PILOTS
            .iter()
            .find(|(pilot, _)| *pilot == name)
            .map(|(_, calls)| calls.map(median).iter().sum::<f64>());
        calls.map(|calls| format!("{:>15.2}", median(name) / calls)).unwrap_or_default()
    };
    let line = |name: &str| {
        format!("{name:<18}{:>10.2}{:>10.2}{}\n", median(name), median(name) / sudo, to_calls(name))
    };
    let lines: String = SIDES.iter().map(|(name, _)| line(name)).collect();
    format!("{:<18}{:>10}{:>10}{:>15}\n{lines}", "switcher", "ms", "to sudo", "to its calls")
}
