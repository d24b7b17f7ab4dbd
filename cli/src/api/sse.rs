//! The format of server-sent events, as the HTML standard says; bytes may come in any pieces.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Where the stream stands after it; absent: as before.
    pub id: Option<String>,
    /// `line`, `gap`, `slow`, `end`, …; empty where the server named none.
    pub name: String,
    /// Its lines, joined by line feeds.
    pub data: String,
}

/// Longest line that is kept: a server that sends more is no server of ours.
const LINE_MAXIMUM: usize = 1 << 20;

/// Collects bytes and returns whole events.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed now belongs to it.
    after_return: bool,
    started: bool,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes bytes, returns the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in bytes {
            let pair = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if pair => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ if self.line.len() < LINE_MAXIMUM => self.line.push(byte),
                _ => {}
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let mut text: &str = &text;
        if !self.started {
            self.started = true;
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
        }
        if text.is_empty() {
            return self.end_event();
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            // Comments keep a connection alive; `retry` and the rest are not for us.
            _ => {}
        }
        None
    }

    /// The standard drops events without data; ours carry meaning in their name or id alone.
    fn end_event(&mut self) -> Option<Event> {
        self.has_data = false;
        let event = std::mem::take(&mut self.event);
        (event != Event::default()).then_some(event)
    }
}
