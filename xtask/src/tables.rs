//! Tables for people, and what has changed since an earlier report was written for programs.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// Reads a report that `--json` has written.
///
/// # Errors
/// When there is none.
pub fn read_report(file: &Path) -> Result<Value> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no report", file.display()))
}

/// How much a figure has changed.
pub fn change(then: f64, now: f64) -> String {
    if then == now {
        "=".to_owned()
    } else if then == 0.0 {
        "new".to_owned()
    } else {
        format!("{:+.1} %", (now / then - 1.0) * 100.0)
    }
}

/// A table in Markdown, whose columns stand below each other for who reads it as it is.
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// One with these columns behind that of the rows' names.
    pub fn new(what: &str, columns: impl IntoIterator<Item = String>) -> Self {
        let mut table = Self(Vec::new());
        table.row(what, columns);
        table
    }

    /// Adds a row.
    pub fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        // A bar would end the cell.
        let name = name.replace('|', "\\|");
        self.0.push([name].into_iter().chain(cells).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<_> = (0..columns).map(width).collect();
        for (number, row) in self.0.iter().enumerate() {
            write!(f, "| {:<width$} |", row[0], width = widths[0])?;
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                write!(f, " {cell:>width$} |")?;
            }
            writeln!(f)?;
            if number == 0 {
                write!(f, "|{:-<width$}|", "", width = widths[0] + 2)?;
                widths.iter().skip(1).try_for_each(|width| write!(f, "{:->width$}:|", "", width = width + 1))?;
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_of_what_was_before() {
        let changes = [(2.0, 3.0), (3.0, 2.0), (1.0, 1.0), (0.0, 0.0), (0.0, 1.0)].map(|(then, now)| change(then, now));
        assert_eq!(changes, ["+50.0 %", "-33.3 %", "=", "=", "new"]);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new("a|b", ["long name", "x"].map(str::to_owned));
        table.row("row", ["1", "22"].map(str::to_owned));
        assert_eq!(
            table.to_string(),
            "\
| a\\|b | long name |   x |
|------|----------:|----:|
| row  |         1 |  22 |
"
        );
    }

    #[test]
    fn what_is_no_report_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("old.json");
        assert!(read_report(&file).unwrap_err().to_string().contains("old.json"));
        fs::write(&file, "{").unwrap();
        assert!(read_report(&file).unwrap_err().to_string().contains("old.json is no report"));
    }
}
