//! The files that daemons write to: their size, and their last words.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::group::{Stop, told};
use super::home::Home;

/// A log of this size is moved to `<name>.log.1`, so that a daemon's logs take twice this.
pub const MAXIMUM: u64 = 64 << 20;
const LOOK: Duration = Duration::from_secs(20);
/// The last line is in here.
const END: u64 = 8 << 10;

/// Keeps every log small until told to stop.
pub async fn keep_small(home: Home, mut stop: Stop) {
    loop {
        let directory = home.state.join("log");
        let shortened = tokio::task::spawn_blocking(move || shorten_all(&directory, MAXIMUM)).await;
        if let Ok(Err(error)) = shortened {
            tracing::warn!(%error, "a log cannot be shortened");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = told(&mut stop) => return,
        }
    }
}

/// Copies what is too long and empties it. Whoever writes goes on appending to the same file; the
/// few lines that come between the two are lost.
pub fn shorten_all(directory: &Path, maximum: u64) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_none_or(|it| it != "log") || entry.metadata()?.len() <= maximum {
            continue;
        }
        fs::copy(&path, path.with_extension("log.1"))?;
        OpenOptions::new().write(true).open(&path)?.set_len(0)?;
    }
    Ok(())
}

/// What a daemon wrote last, as far as a person wants to read it; empty where it wrote nothing.
pub fn last_words(home: &Home, name: &str) -> String {
    let path = home.state.join("log").join(format!("{name}.log"));
    end_of(&path).map(|text| sentence(&text)).unwrap_or_default()
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut bytes = Vec::new();
    file.take(END).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last thing that was said: of a JSON line its message and its error, of a panic or of what
/// `main` returned the whole text without its backtrace, else the last line.
pub fn sentence(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    for (at, line) in lines.iter().enumerate().rev() {
        if let Some(said) = of_json(line) {
            return said;
        }
        if line.starts_with("Error: ") || line.contains(" panicked at ") {
            let rest = lines.get(at..).unwrap_or_default().iter().map(|line| line.trim());
            let said = rest.take_while(|line| !line.to_lowercase().starts_with("stack backtrace"));
            return said.collect::<Vec<&str>>().join(" ");
        }
    }
    lines.last().map(|line| line.trim().to_owned()).unwrap_or_default()
}

fn of_json(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let part = |name: &str| line.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
    let parts: Vec<&str> = ["message", "error"].into_iter().filter_map(part).collect();
    if parts.is_empty() { None } else { Some(parts.join(": ")) }
}
