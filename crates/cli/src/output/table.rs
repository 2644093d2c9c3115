//! How do columns line up?

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::wrap::{clean, cut};
use crate::console::LABEL;

/// Rows of text under headings, without lines between them, so that they can be piped and copied.
#[derive(Clone, Debug)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// The column that is shortened before all others.
    first: Option<usize>,
}

/// One cell.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Makes a cell with a colour.
    #[must_use]
    pub fn styled(text: &str, style: Style) -> Self {
        Self {
            text: clean(text),
            style,
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text.as_ref(), Style::new())
    }
}

impl Table {
    /// Starts a table.
    #[must_use]
    pub fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
            first: None,
        }
    }

    /// Has the column under this heading shortened before all others.
    #[must_use]
    pub fn shortening_first(mut self, heading: &str) -> Self {
        self.first = self.headings.iter().position(|known| *known == heading);
        self
    }

    /// Returns how many columns of a terminal it takes when nothing is shortened.
    #[must_use]
    pub fn width(&self) -> usize {
        let columns = self.widths(None);
        columns.iter().sum::<usize>() + GAP * columns.len().saturating_sub(1)
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Writes the table; on a terminal the widest columns are shortened until it fits `width`.
    #[must_use]
    pub fn render(&self, width: Option<usize>) -> String {
        let columns = self.widths(width);
        let headings: Vec<Cell> = self
            .headings
            .iter()
            .map(|heading| Cell::styled(heading, LABEL))
            .collect();
        let mut out = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let last = row
                .iter()
                .rposition(|cell| !cell.text.is_empty())
                .unwrap_or(0);
            for (at, (cell, columns)) in row.iter().zip(&columns).enumerate().take(last + 1) {
                let text = cut(&cell.text, *columns);
                let padding = if at == last {
                    0
                } else {
                    columns - text.width() + GAP
                };
                out.push_str(&format!("{}{text}{:#}", cell.style, cell.style));
                out.extend(std::iter::repeat_n(' ', padding));
            }
            out.push('\n');
        }
        out
    }

    fn widths(&self, width: Option<usize>) -> Vec<usize> {
        let mut columns: Vec<usize> = self
            .headings
            .iter()
            .map(|heading| heading.width())
            .collect();
        let mut least: Vec<usize> = columns
            .iter()
            .map(|column| (*column).max(COLUMN_LEAST))
            .collect();
        if let Some(first) = self.first {
            least[first] = columns[first].max(FIRST_LEAST);
        }
        for row in &self.rows {
            for (column, cell) in columns.iter_mut().zip(row) {
                *column = (*column).max(cell.text.width());
            }
        }
        let Some(width) = width else { return columns };
        let gaps = GAP * columns.len().saturating_sub(1);
        while columns.iter().sum::<usize>() + gaps > width {
            let shrinkable = columns
                .iter()
                .enumerate()
                .filter(|(at, column)| **column > least[*at]);
            let is_first = |at: usize| self.first == Some(at);
            let Some((widest, _)) = shrinkable.max_by_key(|(at, column)| (is_first(*at), **column))
            else {
                break;
            };
            columns[widest] -= 1;
        }
        columns
    }
}

/// Blanks between columns.
const GAP: usize = 2;

/// Columns are not shortened below this: a date must stay one.
const COLUMN_LEAST: usize = 12;

/// The column that is shortened first still tells what it is about.
const FIRST_LEAST: usize = 8;

#[cfg(test)]
mod tests {
    use super::Table;
    use expect_test::{Expect, expect};

    fn check(width: Option<usize>, expect: Expect) {
        let mut table = Table::new(&["SITE", "STATE", "NAMES"]);
        table.row(vec!["a.test".into(), "valid".into(), "".into()]);
        table.row(vec![
            "a-very-long-label.example.com".into(),
            "self-signed".into(),
            "例え.example, www.example".into(),
        ]);
        expect.assert_eq(&anstream::adapter::strip_str(&table.render(width)).to_string());
    }

    #[test]
    fn a_pipe_gets_everything() {
        check(
            None,
            expect![[r#"
            SITE                           STATE        NAMES
            a.test                         valid
            a-very-long-label.example.com  self-signed  例え.example, www.example
        "#]],
        );
    }

    #[test]
    fn a_narrow_terminal_gets_shortened_columns() {
        check(
            Some(50),
            expect![[r#"
            SITE                STATE        NAMES
            a.test              valid
            a-very-long-label…  self-signed  例え.example, ww…
        "#]],
        );
        check(
            Some(1),
            expect![[r#"
                SITE          STATE        NAMES
                a.test        valid
                a-very-long…  self-signed  例え.exampl…
            "#]],
        );
    }
}
