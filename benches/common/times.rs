//! The times that are measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::unistd::sync;
use serde_json::Value;

/// All times of each thing that is measured, in the order of the rounds.
pub type Times = BTreeMap<&'static str, Vec<Duration>>;

/// The time that an action takes. Before, everything is written to disk: what this side needs, and
/// what an earlier side left.
pub fn timed(action: impl FnOnce()) -> Duration {
    sync();
    let started = Instant::now();
    action();
    started.elapsed()
}

/// The median, in milliseconds.
pub fn median(times: &[Duration]) -> f64 {
    let mut times = milliseconds(times);
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    if times.len() % 2 == 1 {
        times[middle]
    } else {
        f64::midpoint(times[middle - 1], times[middle])
    }
}

/// All times for the file with the samples, in milliseconds.
pub fn samples(times: &Times) -> Value {
    let samples =
        times.iter().map(|(name, times)| ((*name).to_owned(), Value::from(milliseconds(times))));
    Value::Object(samples.collect())
}

fn milliseconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1e3).collect()
}
