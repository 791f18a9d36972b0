//! Columns of text, aligned, with three spaces between them.

use crate::console::{Tone, paint};

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            tone: Tone::Plain,
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            tone: Tone::Plain,
        }
    }
}

impl Cell {
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

/// A table that may grow after it was printed: a watch adds rows below, under the same columns.
#[derive(Debug)]
pub(crate) struct Table {
    headers: Option<Vec<String>>,
    widths: Vec<usize>,
    color: bool,
}

impl Table {
    pub(crate) fn new(headers: Vec<String>, show_headers: bool, color: bool) -> Self {
        let widths = if show_headers {
            headers.iter().map(|header| width(header)).collect()
        } else {
            vec![0; headers.len()]
        };
        Self {
            headers: show_headers.then_some(headers),
            widths,
            color,
        }
    }

    /// The rows as text; the first call begins with the headers.
    pub(crate) fn rows(&mut self, rows: &[Vec<Cell>]) -> String {
        for row in rows {
            for (cell, known) in row.iter().zip(&mut self.widths) {
                *known = (*known).max(width(&cell.text));
            }
        }
        let mut out = String::new();
        if let Some(headers) = self.headers.take() {
            let cells: Vec<Cell> = headers
                .into_iter()
                .map(|header| Cell::toned(header, Tone::Bold))
                .collect();
            self.push_row(&cells, &mut out);
        }
        for row in rows {
            self.push_row(row, &mut out);
        }
        out
    }

    fn push_row(&self, row: &[Cell], out: &mut String) {
        let last = row.len().saturating_sub(1);
        for (at, cell) in row.iter().enumerate() {
            let text = single_line(&cell.text);
            out.push_str(&paint(self.color, cell.tone, &text));
            if at != last {
                let column = self.widths.get(at).copied().unwrap_or_default();
                let gap = column.saturating_sub(width(&text)) + 3;
                out.extend(std::iter::repeat_n(' ', gap));
            }
        }
        out.push('\n');
    }
}

/// A whole table at once.
pub(crate) fn table(headers: &[&str], rows: &[Vec<Cell>], color: bool) -> String {
    let headers = headers.iter().map(|header| (*header).to_owned()).collect();
    Table::new(headers, true, color).rows(rows)
}

fn width(text: &str) -> usize {
    text.chars().count()
}

// A cell comes from the cluster and may hold anything; a line break or an escape sequence would
// break the table or the terminal.
fn single_line(text: &str) -> String {
    text.chars()
        .map(|next| if next.is_control() { ' ' } else { next })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_the_last_one_has_no_trailing_space() {
        let rows = vec![
            vec!["web".into(), Cell::toned("Running", Tone::Good)],
            vec!["database".into(), "".into()],
        ];
        assert_eq!(
            table(&["NAME", "STATE"], &rows, false),
            "NAME       STATE\nweb        Running\ndatabase   \n"
        );
    }

    #[test]
    fn colour_does_not_count_for_the_width() {
        let rows = vec![vec![Cell::toned("a", Tone::Bad), "b".into()]];
        assert_eq!(
            table(&["X", "Y"], &rows, true),
            "\x1b[1mX\x1b[0m   \x1b[1mY\x1b[0m\n\x1b[31ma\x1b[0m   b\n"
        );
    }

    #[test]
    fn later_rows_keep_the_columns_of_earlier_ones() {
        let mut table = Table::new(vec!["NAME".into(), "STATE".into()], true, false);
        assert_eq!(
            table.rows(&[vec!["database".into(), "up".into()]]),
            "NAME       STATE\ndatabase   up\n"
        );
        assert_eq!(
            table.rows(&[vec!["web".into(), "down".into()]]),
            "web        down\n"
        );
    }

    #[test]
    fn control_characters_from_the_cluster_do_not_reach_the_terminal() {
        assert_eq!(
            table(&["NAME"], &[vec!["a\n\x1b[2Jb".into()]], false),
            "NAME\na  [2Jb\n"
        );
    }
}
