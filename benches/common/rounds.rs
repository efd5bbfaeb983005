//! The rounds of a measurement.

use std::time::Duration;

use super::times::Times;

/// Measures every side in every round, in another order each time. So a machine that becomes slower
/// becomes slower for all of them.
///
/// `measure` takes one side, and returns each time with the name under which it is kept.
pub fn run<Side, Measured, const SIDES: usize>(
    rounds: usize,
    mut sides: [Side; SIDES],
    measure: impl Fn(Side) -> Measured,
) -> Times
where
    Side: Copy,
    Measured: IntoIterator<Item = (&'static str, Duration)>,
{
    let mut times = Times::new();
    for _ in 0..rounds {
        fastrand::shuffle(&mut sides);
        for (name, time) in sides.into_iter().flat_map(&measure) {
            times.entry(name).or_default().push(time);
        }
    }
    times
}
