//! All that the CLI prints: lines for people, JSON for programs. The only place that prints.

pub mod escape;
mod table;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Write};

use serde::Serialize;
use serde_json::Value;

pub use self::table::Rows;

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    // Lines and tables for people. A doc comment would be help that doubles every verb's page.
    #[default]
    Text,
    // One JSON document; for streams one a line.
    Json,
}

/// Where results and progress go: results to stdout, progress to stderr.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
}

#[expect(clippy::unused_self, reason = "who prints was handed the terminal")]
impl Output {
    /// Output in a format.
    pub const fn new(format: Format) -> Self {
        Self { format }
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// A line of the result.
    pub fn line(&self, text: &str) {
        result(&escape::line(text));
    }

    /// A step of something that takes a while, or what went wrong.
    pub fn step(&self, text: &str) {
        progress(&format!("zeitwork: {}", escape::lines(text)));
    }

    /// A line that belongs to a step, such as one of a build's log.
    pub fn detail(&self, text: &str) {
        progress(&format!("  {}", escape::line(text)));
    }

    /// A table, or what to say where it has no rows.
    pub fn table(&self, rows: &Rows, empty: &str) {
        if rows.is_empty() {
            return self.step(empty);
        }
        let colour = anstream::AutoStream::choice(&std::io::stdout());
        result(&rows.render(colour != anstream::ColorChoice::Never));
    }

    /// A result for programs.
    pub fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        result(&escape::json(&serde_json::to_string_pretty(value)?));
        Ok(())
    }

    /// A result of many, for programs: one document a line.
    pub fn json_line(&self, value: &Value) {
        result(&escape::json(&value.to_string()));
    }

    /// A script for a shell, as it is.
    pub fn script(&self, text: &str) {
        result(text.trim_end_matches('\n'));
    }

    /// JSON for programs, or what `text` prints for people.
    pub fn either(&self, value: &impl Serialize, text: impl FnOnce(&Self)) -> anyhow::Result<()> {
        if self.is_json() {
            return self.json(value);
        }
        text(self);
        Ok(())
    }
}

fn result(text: &str) {
    let written = writeln!(std::io::stdout().lock(), "{text}");
    // Whoever read us (`… | head`) has seen enough.
    if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
}

fn progress(text: &str) {
    // Nobody is left to tell where stderr is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
