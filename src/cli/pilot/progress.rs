//! The progress of a transfer, as a line on a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use wire::Totals;

use crate::batch::pilot::step_log::ProgressCallback;

/// A transfer that takes less time shows no line.
const MIN_DURATION: Duration = Duration::from_secs(1);

/// The time between two updates of the line.
const INTERVAL: Duration = Duration::from_millis(200);

/// A function that shows the progress of a step on standard error; it shows nothing if that is not
/// a terminal. `all` is what the step will transfer, if that is known.
pub fn of(step: &'static str, all: Option<Totals>) -> ProgressCallback {
    if !std::io::stderr().is_terminal() {
        return Box::new(|_| ());
    }
    let mut line = Line { begun: Instant::now(), shown: None };
    Box::new(move |totals| line.show(step, totals, all.as_ref()))
}

struct Line {
    /// When the step began.
    begun: Instant,
    /// When the line was updated last.
    shown: Option<Instant>,
}

impl Line {
    fn show(&mut self, step: &str, totals: &Totals, all: Option<&Totals>) {
        let took = self.begun.elapsed();
        if took < MIN_DURATION || self.shown.is_some_and(|shown| shown.elapsed() < INTERVAL) {
            return;
        }
        self.shown = Some(Instant::now());
        // Go to the beginning of the line, and erase the rest of the line afterwards.
        let _ = write!(std::io::stderr(), "\r{}\x1b[K", text(step, totals, all, took));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn text(step: &str, totals: &Totals, all: Option<&Totals>, took: Duration) -> String {
    let bytes = |totals: &Totals| totals.bytes.saturating_add(totals.passed) as f64;
    let (moved, seconds) = (bytes(totals), took.as_secs_f64());
    // Files can have grown since they were counted.
    let all = all.filter(|all| all.files > 0);
    let of_bytes =
        all.map(|all| format!(" of {}", size(bytes(all).max(moved)))).unwrap_or_default();
    let of_files =
        all.map(|all| format!(" of {}", all.files.max(totals.files))).unwrap_or_default();
    let (rate, files) = (size(moved / seconds), totals.files as f64 / seconds);
    format!(
        "{step}: {}{of_bytes}, {}{of_files} files, {rate}/s, {files:.0} files/s",
        size(moved),
        totals.files
    )
}

/// A size with about three digits and a unit.
fn size(bytes: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut size = bytes;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && size < 100.0);
    format!("{size:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_bytes_and_files_their_rates_and_the_totals_if_they_are_known() {
        let totals =
            Totals { files: 3400, bytes: 1_200_000, passed: 1_000_000_000, ..Totals::default() };
        let took = Duration::from_secs(8);
        assert_eq!(
            text("setup", &totals, None, took),
            "setup: 1.0 GB, 3400 files, 125 MB/s, 425 files/s"
        );
        let all = Totals { files: 40_000, bytes: 5_000_000_000, ..Totals::default() };
        assert_eq!(
            text("setup", &totals, Some(&all), took),
            "setup: 1.0 GB of 5.0 GB, 3400 of 40000 files, 125 MB/s, 425 files/s"
        );
        // Empty files, and more of them than were counted.
        let (totals, all) = (
            Totals { files: 900, ..Totals::default() },
            Totals { files: 800, ..Totals::default() },
        );
        assert_eq!(
            text("x", &totals, Some(&all), Duration::from_secs(1)),
            "x: 0 B of 0 B, 900 of 900 files, 0 B/s, 900 files/s"
        );
    }
}
