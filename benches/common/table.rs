//! The tables that a bench prints.

/// The widths of the columns, in characters. The first column is aligned to the left, the others to
/// the right.
pub struct Table<const COLUMNS: usize>(pub [usize; COLUMNS]);

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A line with these cells.
    pub fn line(&self, cells: &[String; COLUMNS]) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(self.0).enumerate() {
            line +=
                &if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }

    /// The line with the names of the columns.
    pub fn heading(&self, names: [&str; COLUMNS]) -> String {
        self.line(&names.map(str::to_owned))
    }
}
