//! What was measured, as drawings.

use super::common::svg::{Anchor, Svg};
use super::growth::{NAMES, Order, Step};
use super::on_trees::Outcome;
use super::sides::{CALLS, COPY, OWN};

const AXIS: &str = "#888888";
/// The names and colours of the bars. Each is one way, there and back.
const WAYS: [(&str, [&str; 2], &str); 3] = [
    ("glexec --give, --take", CALLS, "#1b9e77"),
    ("setup, cleanup: own", OWN, "#7570b3"),
    ("setup, cleanup: copy", COPY, "#d95f02"),
];
/// The colours of the lines, in the order of their names. Those back are dashed.
const COLOURS: [&str; 8] =
    ["#1b9e77", "#1b9e77", "#7570b3", "#7570b3", "#d95f02", "#d95f02", "#444444", "#999999"];

const LEFT: f64 = 60.0;
const WIDTH: f64 = 860.0;
const BAR: f64 = 28.0;
const PANEL: f64 = 200.0;
/// The height of a bar whose ratio is 1, and the highest bar.
const ONE: f64 = 130.0;
const HIGHEST: f64 = 1.2;

/// The times relative to the baseline, for each file system, tree and direction.
pub fn ratios(outcomes: &[Outcome]) -> String {
    let panels: Vec<_> =
        outcomes.chunk_by(|one, other| one.file_system == other.file_system).collect();
    let most = panels.iter().map(|panel| panel.len()).max().unwrap_or(0);
    let group = 7.0 * BAR + 24.0;
    let width = LEFT + 20.0 + group * most as f64;
    let right = width.max(WIDTH);
    let height = 50.0 + PANEL * panels.len() as f64;
    let mut svg = Svg::new(right, height, "Times through glexec, divided by the baseline's");
    for (index, (name, _, colour)) in WAYS.iter().enumerate() {
        let x = LEFT + 190.0 * index as f64;
        svg.bar((x, 12.0), 12.0, 12.0, colour);
        svg.text((x + 18.0, 22.0), Anchor::Start, name);
    }
    svg.text((right - 10.0, 22.0), Anchor::End, "1: shell helpers through glexec");
    for (row, panel) in panels.iter().enumerate() {
        let zero = 50.0 + PANEL * row as f64 + ONE * HIGHEST;
        svg.text((4.0, zero - ONE * HIGHEST + 10.0), Anchor::Start, panel[0].file_system);
        for value in [0.0, 0.5, 1.0] {
            let y = zero - ONE * value;
            svg.line(&[(LEFT, y), (right - 10.0, y)], AXIS, value > 0.0);
            svg.text((LEFT - 6.0, y + 4.0), Anchor::End, &format!("{value}"));
        }
        for (column, outcome) in panel.iter().enumerate() {
            let x = LEFT + 10.0 + group * column as f64;
            bars(&mut svg, outcome, (x, zero));
        }
    }
    svg.finish()
}

/// The bars of one tree: all ways there, and all ways back.
fn bars(svg: &mut Svg, outcome: &Outcome, (left, zero): (f64, f64)) {
    for (direction, word) in ["give", "take"].into_iter().enumerate() {
        let start = left + 3.5 * BAR * direction as f64;
        for (index, (_, names, colour)) in WAYS.into_iter().enumerate() {
            let ratio = outcome.ratios(names)[direction];
            let height = ONE * ratio.min(HIGHEST);
            let x = start + BAR * index as f64;
            svg.bar((x + 1.0, zero - height), BAR - 2.0, height, colour);
            let text = format!("{ratio:.2}");
            svg.text((x + BAR / 2.0, zero - height - 3.0), Anchor::Middle, &text);
        }
        svg.text((start + 1.5 * BAR, zero + 14.0), Anchor::Middle, word);
    }
    svg.text((left + 3.25 * BAR, zero + 29.0), Anchor::Middle, outcome.tree);
}

/// The times by the number of files; both axes are logarithmic.
pub fn growth(order: &Order, grown: &[Step]) -> String {
    let (width, height, right) = (720.0, 420.0, 560.0);
    let title = format!("Milliseconds by number of files, on {}", order.file_system.name());
    let mut svg = Svg::new(width, height, &title);
    svg.text((LEFT, 18.0), Anchor::Start, &title);
    let all = grown.iter().flat_map(|step| NAMES.map(|name| step.median(name).log10()));
    let (low, high) = bounds(all);
    let (first, last) = bounds(grown.iter().map(|step| (step.files as f64).log10()));
    let x_of =
        |files: f64| LEFT + (right - LEFT) * (files.log10() - first) / (last - first).max(1.0);
    let y_of = |time: f64| 380.0 - 340.0 * (time.log10() - low) / (high - low).max(1.0);
    for exponent in low as i32..=high as i32 {
        let time = 10_f64.powi(exponent);
        svg.line(&[(LEFT, y_of(time)), (right, y_of(time))], AXIS, true);
        svg.text((LEFT - 6.0, y_of(time) + 4.0), Anchor::End, &format!("{time}"));
    }
    for step in grown {
        let x = x_of(step.files as f64);
        svg.text((x, 400.0), Anchor::Middle, &step.files.to_string());
    }
    for (index, (name, colour)) in NAMES.into_iter().zip(COLOURS).enumerate() {
        let points: Vec<_> =
            grown.iter().map(|step| (x_of(step.files as f64), y_of(step.median(name)))).collect();
        let is_back = index < 6 && index % 2 == 1;
        svg.line(&points, colour, is_back);
        points.iter().for_each(|point| svg.dot(*point, colour));
        let y = 50.0 + 20.0 * index as f64;
        svg.line(&[(right + 16.0, y), (right + 40.0, y)], colour, is_back);
        svg.text((right + 46.0, y + 4.0), Anchor::Start, name);
    }
    svg.finish()
}

/// The whole numbers below and above all values.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    (low.floor(), high.ceil())
}
