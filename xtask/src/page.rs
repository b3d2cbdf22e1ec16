// SPDX-License-Identifier: Apache-2.0
//! Pages that runs write into: text by hand around parts between two markers.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// Replaces what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.
pub(crate) fn write(path: &Path, part: &str, text: &str) -> Result<()> {
    let page = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let (before, _, after) = split(&page, part)
        .with_context(|| format!("{} has no markers for {part}", path.display()))?;
    let page = format!("{before}\n{}\n{after}", text.trim_end());
    fs::write(path, page).with_context(|| format!("writing {}", path.display()))
}

/// What stands between the markers now.
pub(crate) fn read(path: &Path, part: &str) -> Result<String> {
    let page = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let (_, inside, _) = split(&page, part)
        .with_context(|| format!("{} has no markers for {part}", path.display()))?;
    Ok(inside.to_owned())
}

/// Before and with the first marker, between, with and after the last.
fn split<'a>(page: &'a str, part: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let begin = format!("<!-- begin {part} -->\n");
    let end = format!("<!-- end {part} -->");
    let from = page.find(&begin)? + begin.len();
    let to = from + page.get(from..)?.find(&end)?;
    Some((page.get(..from)?, page.get(from..to)?, page.get(to..)?))
}

/// A Markdown table whose rows and columns have names.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&c| c.to_owned()).collect(), rows: Vec::new() }
    }

    /// Reads back what `render` wrote; anything else gives an empty table.
    pub(crate) fn parse(text: &str) -> Self {
        let mut lines = text.lines().filter(|l| l.starts_with('|') && !l.starts_with("|-"));
        let columns = lines.next().map(cells).unwrap_or_default();
        let rows = lines
            .filter_map(|line| {
                let mut cells = cells(line).into_iter();
                Some((cells.next()?, cells.collect()))
            })
            .collect();
        Self { columns, rows }
    }

    /// This table, or an empty one with these columns if nothing was there yet.
    pub(crate) fn or(self, columns: &[&str]) -> Self {
        if self.columns.is_empty() { Self::new(columns) } else { self }
    }

    /// Sets a cell; a row or column seen for the first time is appended.
    pub(crate) fn set(&mut self, row: &str, column: &str, value: &str) {
        let at = self.columns.iter().skip(1).position(|c| c == column).unwrap_or_else(|| {
            self.columns.push(column.to_owned());
            self.columns.len() - 2
        });
        let row = self.rows.iter().position(|(name, _)| name == row).unwrap_or_else(|| {
            self.rows.push((row.to_owned(), Vec::new()));
            self.rows.len() - 1
        });
        let Some((_, cells)) = self.rows.get_mut(row) else { return };
        if cells.len() <= at {
            cells.resize(at + 1, String::new());
        }
        if let Some(cell) = cells.get_mut(at) {
            value.clone_into(cell);
        }
    }

    /// Empties a column before it is written anew; rows that say nothing any more go.
    pub(crate) fn clear(&mut self, column: &str) {
        if let Some(at) = self.columns.iter().skip(1).position(|c| c == column) {
            self.rows.iter_mut().filter_map(|(_, cells)| cells.get_mut(at)).for_each(String::clear);
        }
        self.rows.retain(|(_, cells)| cells.iter().any(|cell| !cell.is_empty()));
    }

    pub(crate) fn render(&self) -> String {
        let mut out = format!("| {} |\n", self.columns.join(" | "));
        out.push_str(&"|---".repeat(self.columns.len()));
        out.push_str("|\n");
        for (name, cells) in &self.rows {
            out.push_str("| ");
            out.push_str(name);
            for at in 0..self.columns.len().saturating_sub(1) {
                out.push_str(" | ");
                out.push_str(cells.get(at).map_or("", String::as_str));
            }
            out.push_str(" |\n");
        }
        out
    }
}

fn cells(line: &str) -> Vec<String> {
    line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_back_what_it_wrote() {
        let mut table = Table::new(&["scenario"]);
        table.set("nginx", "6.1 fentry", "ok");
        table.set("node", "6.12 kprobe", "failed");
        assert_eq!(Table::parse(&table.render()).render(), table.render());
    }

    #[test]
    fn a_column_written_anew_keeps_the_others() {
        let mut table = Table::new(&["scenario"]);
        table.set("nginx", "a", "ok");
        table.set("nginx", "b", "ok");
        table.set("gone", "a", "ok");
        table.clear("a");
        table.set("nginx", "a", "failed");
        assert_eq!(
            table.render(),
            "| scenario | a | b |\n|---|---|---|\n| nginx | failed | ok |\n"
        );
    }

    #[test]
    fn only_the_named_part_of_a_page_is_its_inside() {
        let page = "by hand\n<!-- begin runs -->\nold\n<!-- end runs -->\nmore\n";
        let (before, inside, after) = split(page, "runs").unwrap();
        assert_eq!(before, "by hand\n<!-- begin runs -->\n");
        assert_eq!(inside, "old\n");
        assert_eq!(after, "<!-- end runs -->\nmore\n");
        assert!(split(page, "other").is_none());
    }
}
