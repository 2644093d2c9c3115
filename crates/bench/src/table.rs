//! How is a table printed, so that it reads well on a terminal and as Markdown?

use std::fmt;

/// A table: a line of headings, and lines of the same length.
#[derive(Debug)]
pub(crate) struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    /// Begins a table with its headings.
    pub(crate) fn new(headings: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let headings = headings.into_iter().map(Into::into).collect();
        Self {
            lines: vec![headings],
        }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.lines[0].len(), String::new());
        self.lines.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.lines[0].len()).map(width).collect();
        for (number, line) in self.lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                for width in &widths {
                    write!(f, "| {:-<width$} ", "")?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// Writes a number with three digits that mean something.
pub(crate) fn number(value: f64) -> String {
    let digits: usize = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::{Table, number};
    use expect_test::expect;

    #[test]
    fn columns_line_up_and_short_lines_are_filled() {
        let mut table = Table::new(["client", "s"]);
        table.line(["clpctl", "0.6"]);
        table.line(["lego ×4"]);
        expect![[r"
            | client  | s   |
            | ------- | --- |
            | clpctl  | 0.6 |
            | lego ×4 |     |
        "]]
        .assert_eq(&table.to_string());
    }

    #[test]
    fn three_digits_are_kept() {
        let shown = [1234.5, 12.345, 1.2345, 0.12345, 0.0012345, 0.0].map(number);
        assert_eq!(shown, ["1234", "12.3", "1.23", "0.123", "0.0012", "0.0000"]);
    }
}
