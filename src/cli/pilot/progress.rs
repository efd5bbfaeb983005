//! How far a transfer has come, on a terminal, once it has taken a second.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::batch::pilot::diary;
use crate::wire::Totals;

/// Before that nobody wonders.
const PATIENCE: Duration = Duration::from_secs(1);

/// So often the line is written anew.
const PACE: Duration = Duration::from_millis(200);

/// Shows the progress of a step on standard error; where that is no terminal, nothing.
pub fn of(step: &'static str) -> diary::Progress {
    if !std::io::stderr().is_terminal() {
        return Box::new(|_| ());
    }
    let mut line = Line { begun: Instant::now(), shown: None };
    Box::new(move |totals| line.show(step, totals))
}

struct Line {
    begun: Instant,
    shown: Option<Instant>,
}

impl Line {
    fn show(&mut self, step: &str, totals: &Totals) {
        let took = self.begun.elapsed();
        if took < PATIENCE || self.shown.is_some_and(|shown| shown.elapsed() < PACE) {
            return;
        }
        self.shown = Some(Instant::now());
        // To the beginning of the line, and nothing behind it stays.
        let _ = write!(std::io::stderr(), "\r{}\x1b[K", text(step, totals, took));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn text(step: &str, totals: &Totals, took: Duration) -> String {
    let bytes = totals.bytes.saturating_add(totals.passed);
    let rate = bytes as f64 / took.as_secs_f64();
    format!("{step}: {}, {} files, {}/s", size(bytes as f64), totals.files, size(rate))
}

/// Three digits or so, and a unit.
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
    fn the_line_tells_bytes_files_and_rate() {
        let totals = Totals { files: 3400, bytes: 1_200_000, passed: 1_000_000_000, ..Totals::default() };
        assert_eq!(text("setup", &totals, Duration::from_secs(8)), "setup: 1.0 GB, 3400 files, 125 MB/s");
        assert_eq!(
            text("x", &Totals { bytes: 999, ..Totals::default() }, Duration::from_secs(1)),
            "x: 999 B, 0 files, 999 B/s"
        );
    }
}
