//! What the commands print: tables, times, and objects of JSON.

use std::fmt::Write as _;
use std::time::Duration;

use command::utc::Utc;

/// A table: cells in columns, the last one as long as it is. No row is longer than the first.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A row of texts.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// A time in UTC, in whole seconds.
pub(crate) fn time(time: Duration) -> String {
    Utc::of(time.as_secs()).to_string()
}

/// One array of objects.
pub(crate) fn array(objects: &[String]) -> String {
    format!("[{}]\n", objects.join(",\n"))
}

/// A text that was read from a file as a terminal can show it: what is neither a letter nor a digit
/// nor printable ASCII is escaped, as are marks that change the direction of the text.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            ' '..='~' => shown.push(c),
            c if c.is_alphanumeric() => shown.push(c),
            c => _ = write!(shown, "{}", c.escape_default()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{printable, row, table};

    #[test]
    fn the_columns_of_a_table_are_as_wide_as_their_cells() {
        let rows = [row(["A", "B", "C"]), row(["long", "x", "c d"]), row(["é", "yy", ""])];
        assert_eq!(table(&rows), "A     B   C\nlong  x   c d\né     yy\n");
    }

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        assert_eq!(printable("é a\u{1b}[2J\u{202e}b"), "é a\\u{1b}[2J\\u{202e}b");
    }
}
