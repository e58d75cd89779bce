//! Tables for people.

use std::time::Duration;

/// A table in the making.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    is_over: bool,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        Self {
            rows: vec![head],
            is_over: false,
        }
    }

    /// Whether a row is over its budget.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.to_vec());
    }

    pub(crate) fn budget(&mut self, what: &str, max: u64, is: u64) {
        self.verdict(what, max.to_string(), is.to_string(), is <= max);
    }

    pub(crate) fn budget_ms(&mut self, what: &str, max: f64, is: f64) {
        self.verdict(what, format!("{max} ms"), format!("{is:.2} ms"), is <= max);
    }

    pub(crate) fn budget_ratio(&mut self, what: &str, max: f64, is: f64) {
        self.verdict(what, format!("{max} ×"), format!("{is:.2} ×"), is <= max);
    }

    #[expect(clippy::cast_precision_loss, reason = "two decimals of mebibytes")]
    pub(crate) fn budget_mib(&mut self, what: &str, max: f64, bytes: usize) {
        let is = bytes as f64 / 1024.0 / 1024.0;
        self.verdict(
            what,
            format!("{max} MiB"),
            format!("{is:.2} MiB"),
            is <= max,
        );
    }

    pub(crate) fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, width))| {
                if cell.starts_with(|first: char| first.is_ascii_digit()) && column > 0 {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
            println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        println!();
    }

    fn verdict(&mut self, what: &str, max: String, is: String, is_inside: bool) {
        self.is_over |= !is_inside;
        let verdict = if is_inside { "inside" } else { "OVER" };
        self.row(&[what.to_owned(), max, is, verdict.to_owned()]);
    }
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
