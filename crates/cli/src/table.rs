//! Tables that line up: cells separated by spaces, two at least, twelve columns a cell at least.
//!
//! The layout is the one that docker and podman share (Go's tabwriter with a minimal width of 12 and a padding of
//! 2), so that scripts which cut columns go on working; widths are those on a terminal, so that wide and combining
//! characters line up too. Nothing is coloured, cut or wrapped: a table reads the same in a file and on a screen.

use unicode_width::UnicodeWidthStr;

/// The narrowest cell with its padding.
const MINIMUM: usize = 12;
/// Spaces between a cell and the next.
const PADDING: usize = 2;

/// Rows of cells; a row may have fewer cells than another.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with nothing in it.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a row. Control characters of a cell are shown escaped: a name or label cannot move the cursor.
    pub(crate) fn row<I, S>(&mut self, cells: I)
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.rows.push(cells.into_iter().map(|cell| visible(cell.into())).collect());
    }

    /// Adds a row whose cells are separated by tabs.
    pub(crate) fn tabbed_row(&mut self, line: &str) {
        self.row(line.split('\t'));
    }

    /// The table as text, each row ended by a newline, without spaces at the end of a row.
    pub(crate) fn render(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let start = text.len();
            for (cell, width) in row.iter().zip(&widths) {
                text.push_str(cell);
                text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
            }
            text.truncate(start + text[start..].trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }

    /// The width of each column with its padding.
    fn widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), MINIMUM);
            for (cell, width) in row.iter().zip(&mut widths) {
                *width = (*width).max(cell.width() + PADDING);
            }
        }
        widths
    }
}

/// The text with its control characters escaped.
fn visible(text: String) -> String {
    if text.chars().any(char::is_control) {
        text.chars()
            .flat_map(
                |c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] },
            )
            .collect()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    #[test]
    fn columns_line_up_as_podmans() {
        let mut table = Table::new();
        table.row(["CONTAINER ID", "IMAGE", "COMMAND", "PORTS", "NAMES"]);
        table.row(["0506f64e1626", "localhost/busy:1", "sleep 1000", "", "web"]);
        table.tabbed_row("1a5fcdf6cd1b\tlocalhost/busy:1\tsh -c echo hi; ec...\t\tdone");
        expect![[r#"
            CONTAINER ID  IMAGE             COMMAND               PORTS       NAMES
            0506f64e1626  localhost/busy:1  sleep 1000                        web
            1a5fcdf6cd1b  localhost/busy:1  sh -c echo hi; ec...              done
        "#]]
        .assert_eq(&table.render());
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new();
        table.row(["船と海と港と船と", "x"]);
        table.row(["plain", "x"]);
        table.row(["e\u{301}e\u{301}", "x"]);
        assert_eq!(
            table.render(),
            "船と海と港と船と  x\nplain             x\ne\u{301}e\u{301}                x\n"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new();
        table.row(["a\x1b[31m\nb"]);
        assert_eq!(table.render(), "a\\u{1b}[31m\\nb\n");
    }

    proptest! {
        /// Any text in any cell: a row a line, and no panic.
        #[test]
        fn a_row_is_a_line(rows in prop::collection::vec(prop::collection::vec(any::<String>(), 0..5), 0..6)) {
            let mut table = Table::new();
            for row in &rows {
                table.row(row.iter().map(String::as_str));
            }
            prop_assert_eq!(table.render().matches('\n').count(), rows.len());
        }
    }
}
