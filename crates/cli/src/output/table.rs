//! Columns of text.
//!
//! ```text
//! cells ──► made harmless, cut to MAX_CELL ──► widths ──► narrowed to the terminal ──► lines
//! ```
//!
//! Cells may come from a guest: no text can forge a row, move other columns out of sight, or make the table large.

use super::sanitize::harmless_line;
use super::style::Tone;
use super::width::{self, Cut};

/// Space between two columns.
const GAP: &str = "  ";
/// The widest that a cell may be, in columns of the terminal.
const MAX_CELL: usize = 200;
/// The narrowest that a column is made to fit a terminal, in columns.
const MIN_COLUMN: usize = 8;

/// A piece of text in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in a tone.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// One column.
#[derive(Debug, Clone, Copy)]
struct Column {
    /// Way to cut it where the terminal is too narrow; a column without one is never cut.
    cut: Option<Cut>,
}

/// Rows under headings. Every column is as wide as its widest cell, the last one ends with its text.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these headings. No column is cut.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            columns: vec![Column { cut: None }; headings.len()],
            rows: vec![
                headings
                    .iter()
                    .map(|text| Cell::new(*text, Tone::Heading))
                    .collect(),
            ],
        }
    }

    /// The same table, whose column of this heading is cut where the terminal is too narrow for all.
    #[must_use]
    pub fn cut(mut self, heading: &str, cut: Cut) -> Self {
        let headings = self.rows.first().into_iter().flatten();
        for (column, cell) in self.columns.iter_mut().zip(headings) {
            if cell.text == heading {
                column.cut = Some(cut);
            }
        }
        self
    }

    /// Adds a row; an empty cell is shown as `-`.
    pub fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let shown = |cell: C| {
            let Cell { text, tone } = cell.into();
            let text = width::cut(&harmless_line(&text), MAX_CELL, Cut::End);
            match text.is_empty() {
                true => Cell::new("-", Tone::Faint),
                false => Cell { text, tone },
            }
        };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The lines, headings first, none wider than `width` where cutting helps.
    pub fn lines(&self, width: Option<usize>, colour: bool) -> Vec<String> {
        let widths = self.widths(width);
        let line = |row: &Vec<Cell>| {
            let last = row.len().saturating_sub(1);
            let mut line = String::new();
            for (index, cell) in row.iter().enumerate() {
                let (Some(&room), Some(column)) = (widths.get(index), self.columns.get(index))
                else {
                    break;
                };
                let text = match column.cut {
                    Some(cut) => width::cut(&cell.text, room, cut),
                    None => cell.text.clone(),
                };
                line.push_str(&cell.tone.paint(&text, colour));
                if index < last {
                    let fill = room.saturating_sub(width::of(&text));
                    line.extend(std::iter::repeat_n(' ', fill));
                    line.push_str(GAP);
                }
            }
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }

    /// Widths of the columns: what their cells need, less where `limit` asks for it, the widest first.
    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let needed = |index: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            cells.map(|cell| width::of(&cell.text)).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..self.columns.len()).map(needed).collect();
        let Some(limit) = limit else {
            return widths;
        };
        let gaps = GAP.len() * self.columns.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > limit {
            let widest = widths
                .iter_mut()
                .zip(&self.columns)
                .filter(|(width, column)| column.cut.is_some() && **width > MIN_COLUMN)
                .max_by_key(|(width, _)| **width);
            let Some((width, _)) = widest else { break };
            *width -= 1;
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(table: &Table) -> Vec<String> {
        table.lines(None, false)
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_with_text() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(["web-server".to_owned(), "running".to_owned()]);
        table.row(["ä".to_owned(), String::new()]);
        assert_eq!(
            plain(&table),
            ["NAME        STATE", "web-server  running", "ä           -"]
        );
    }

    #[test]
    fn a_guest_cannot_forge_a_row() {
        let mut table = Table::new(&["PROCESS", "REACH AT"]);
        table.row(["a\nsshd  127.0.0.1:22".to_owned(), "-".to_owned()]);
        table.row(["a\u{202e}b\u{200b}c".to_owned(), "-".to_owned()]);
        let lines = plain(&table);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].starts_with("a\\nsshd"), "{lines:?}");
        assert!(lines[2].starts_with("a\\u{202e}b\\u{200b}c"), "{lines:?}");
    }

    #[test]
    fn endless_text_is_cut_and_other_rows_stay_narrow() {
        let mut table = Table::new(&["PROCESS", "PORT"]);
        table.row(["x".repeat(500_000), "1".to_owned()]);
        let lines = plain(&table);
        assert_eq!(lines[1].chars().count(), MAX_CELL + 3);
        assert!(lines[1].contains('…'));
    }

    #[test]
    fn a_table_fits_its_terminal_by_cutting_what_may_be_cut() {
        let mut table = Table::new(&["NAME", "SOURCE", "AGE"]).cut("SOURCE", Cut::Middle);
        table.row(["web", "/home/somebody/images/of/mine/debian.tar", "5s"].map(str::to_owned));
        let lines = table.lines(Some(40), false);
        assert!(
            lines.iter().all(|line| line.chars().count() <= 40),
            "{lines:?}"
        );
        assert!(
            lines[1].contains("/home") && lines[1].contains("debian.tar"),
            "{lines:?}"
        );
        assert!(lines[1].ends_with("5s"));
        // Without a terminal nothing is cut.
        assert!(plain(&table)[1].contains("/of/mine/"));
    }

    #[test]
    fn colour_does_not_move_columns() {
        let mut table = Table::new(&["STATE", "AGE"]);
        table.row([Cell::new("error", Tone::Bad), "5s".to_owned().into()]);
        let coloured = table.lines(None, true);
        assert!(coloured[1].starts_with("\u{1b}["));
        let bare: Vec<_> = coloured.iter().map(|line| strip(line)).collect();
        assert_eq!(bare, plain(&table));
    }

    fn strip(line: &str) -> String {
        let mut out = String::new();
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            if c == '\u{1b}' {
                let _ = chars.by_ref().find(|c| *c == 'm');
            } else {
                out.push(c);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_table(
            cells in proptest::collection::vec(any::<String>(), 1..12),
            width in proptest::option::of(0_usize..300),
        ) {
            let mut table = Table::new(&["A", "B", "C"])
                .cut("A", Cut::Middle)
                .cut("B", Cut::End)
                .cut("C", Cut::End);
            let rows = cells.chunks(3).count();
            for row in cells.chunks(3) {
                table.row(row.iter().cloned());
            }
            let lines = table.lines(width, false);
            prop_assert_eq!(lines.len(), rows + 1);
            for line in &lines {
                prop_assert!(line.chars().all(|c| !c.is_control()));
                prop_assert!(width::of(line) <= 3 * MAX_CELL + 4);
                if let Some(width) = width.filter(|width| *width >= 3 * MIN_COLUMN + 4) {
                    prop_assert!(width::of(line) <= width, "{} > {width}", width::of(line));
                }
            }
        }
    }
}
