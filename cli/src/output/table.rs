//! Tables for people.

use comfy_table::{Cell, Color, ContentArrangement, Table, TableStyle};

use super::escape;

/// A table of text cells; what is in them is escaped.
#[derive(Debug)]
pub struct Rows {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    /// A table without rows.
    pub fn new(headers: &[&'static str]) -> Self {
        Self { headers: headers.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| escape::line(&cell)).collect());
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table; words for states are coloured where that is wanted.
    pub fn render(&self, colour: bool) -> String {
        let mut table = Table::new();
        table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(self.headers.iter().map(|name| Cell::new(name.to_uppercase())));
        for row in &self.rows {
            table.add_row(row.iter().map(|text| match colour_of(text).filter(|_| colour) {
                Some(colour) => Cell::new(text).fg(colour),
                None => Cell::new(text),
            }));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }
}

/// The colour of a state's word.
fn colour_of(word: &str) -> Option<Color> {
    match word {
        "live" | "healthy" | "ready" | "succeeded" | "ok" => Some(Color::Green),
        "failed" | "unhealthy" | "lost" | "wrong" => Some(Color::Red),
        "queued" | "building" | "starting" | "running" | "pending" | "draining" | "cordoned"
        | "hint" => Some(Color::Yellow),
        _ => None,
    }
}
