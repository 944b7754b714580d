//! Table: columns of text, for the terminal and for Markdown.
//!
//! Owns: alignment and the two forms. Not here: what stands in the cells (`report`).

/// Rows of cells under headings; the first column is text, the others are numbers.
#[derive(Debug, Default)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            headings: headings.iter().map(|&heading| heading.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with a cell for each column.
    pub fn push(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.headings.len());
        self.rows.push(cells);
    }

    /// Columns of equal width, two spaces between.
    pub fn to_text(&self) -> String {
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|column| {
                self.lines()
                    .map(|cells| cells[column].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for cells in self.lines() {
            let padded: Vec<String> = cells
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, &width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            text.push_str(padded.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// A Markdown table; bars in cells are escaped.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        for (number, cells) in self.lines().enumerate() {
            let escaped: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            text.push_str(&format!("| {} |\n", escaped.join(" | ")));
            if number == 0 {
                text.push_str(&format!("|---|{}\n", "---:|".repeat(self.headings.len() - 1)));
            }
        }
        text
    }

    fn lines(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.headings).chain(&self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["row", "µs", "got"]);
        table.push(vec![
            String::from("long name"),
            String::from("1"),
            String::from("a|b"),
        ]);
        table.push(vec![String::from("x"), String::from("100"), String::new()]);
        table
    }

    /// Names to the left, numbers to the right, no spaces at line ends.
    #[test]
    fn text_is_aligned() {
        assert_eq!(
            table().to_text(),
            "row         µs  got\nlong name    1  a|b\nx          100\n"
        );
    }

    /// Markdown has a rule under the headings and no stray bars.
    #[test]
    fn markdown_has_a_rule() {
        let expected = "| row | µs | got |\n|---|---:|---:|\n| long name | 1 | a\\|b |\n| x | 100 |  |\n";
        assert_eq!(table().to_markdown(), expected);
    }
}
