//! Reads what BuildKit says of a build (`moby.buildkit.trace`): a protobuf message
//! `moby.buildkit.v1.StatusResponse`, of which only what a log needs is decoded. Field numbers
//! follow `api/services/control/control.proto` of moby/buildkit; unknown fields are skipped.

use std::collections::{HashMap, HashSet};

use crate::logs::Stream;

/// Bytes that are kept of a line that does not end; what is longer is said in pieces.
const MAXIMUM_PENDING: usize = 16 * 1024;

/// One step of the build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vertex {
    /// What identifies it.
    pub digest: String,
    /// `[2/3] RUN npm ci`.
    pub name: String,
    /// Its result was there before.
    pub cached: bool,
    /// When it began, in nanoseconds.
    pub started: Option<u64>,
    /// When it ended, in nanoseconds.
    pub completed: Option<u64>,
    /// Why it failed; empty while it did not.
    pub error: String,
}

/// A piece of a step's output; pieces are not lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The step.
    pub vertex: String,
    /// 1 standard output, 2 standard error.
    pub stream: u64,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// One message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Steps that changed.
    pub vertices: Vec<Vertex>,
    /// Output that came.
    pub outputs: Vec<Output>,
}

/// The message ends in the middle of a field, or uses a wire type that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a protobuf message")]
pub struct Malformed;

/// One field's value.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(length).map_err(|_| Malformed)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

/// Calls back for each field of a message.
fn fields<'a>(
    mut bytes: &'a [u8],
    mut field: impl FnMut(u64, Value<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            1 => take(&mut bytes, 8).map(|_| Value::Other)?,
            2 => {
                let length = varint(&mut bytes)?;
                Value::Bytes(take(&mut bytes, length)?)
            }
            5 => take(&mut bytes, 4).map(|_| Value::Other)?,
            _ => return Err(Malformed),
        };
        field(tag >> 3, value)?;
    }
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A `google.protobuf.Timestamp` in nanoseconds.
fn timestamp(bytes: &[u8]) -> Result<u64, Malformed> {
    let (mut seconds, mut nanos) = (0_u64, 0_u64);
    fields(bytes, |number, value| {
        match (number, value) {
            (1, Value::Number(value)) => seconds = value,
            (2, Value::Number(value)) => nanos = value,
            _ => {}
        }
        Ok(())
    })?;
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

fn vertex(bytes: &[u8]) -> Result<Vertex, Malformed> {
    let mut vertex = Vertex::default();
    fields(bytes, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => vertex.digest = text(bytes),
            (3, Value::Bytes(bytes)) => vertex.name = text(bytes),
            (4, Value::Number(number)) => vertex.cached = number != 0,
            (5, Value::Bytes(bytes)) => vertex.started = Some(timestamp(bytes)?),
            (6, Value::Bytes(bytes)) => vertex.completed = Some(timestamp(bytes)?),
            (7, Value::Bytes(bytes)) => vertex.error = text(bytes),
            _ => {}
        }
        Ok(())
    })?;
    Ok(vertex)
}

fn output(bytes: &[u8]) -> Result<Output, Malformed> {
    let mut output = Output::default();
    fields(bytes, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => output.vertex = text(bytes),
            (3, Value::Number(number)) => output.stream = number,
            (4, Value::Bytes(bytes)) => output.bytes = bytes.to_vec(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(output)
}

/// Decodes one message.
///
/// # Errors
/// [`Malformed`]
pub fn decode(bytes: &[u8]) -> Result<Status, Malformed> {
    let mut status = Status::default();
    fields(bytes, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => status.vertices.push(vertex(bytes)?),
            (3, Value::Bytes(bytes)) => status.outputs.push(output(bytes)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(status)
}

/// The step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStep {
    /// `[2/3] RUN npm ci`.
    pub name: String,
    /// What BuildKit says of it.
    pub error: String,
}

/// Turns messages into log lines, and remembers what failed.
#[derive(Debug, Default)]
pub struct Progress {
    announced: HashSet<String>,
    finished: HashSet<String>,
    pending: HashMap<(String, u64), Vec<u8>>,
    failed: Option<FailedStep>,
}

impl Progress {
    /// Takes one message; the lines it completes go to `say`.
    pub fn take(&mut self, status: Status, say: &mut impl FnMut(Stream, &str)) {
        for vertex in &status.vertices {
            self.begin(vertex, say);
        }
        for output in status.outputs {
            self.write(output, say);
        }
        for vertex in status.vertices {
            self.end(vertex, say);
        }
    }

    /// Says what is left of lines that never ended.
    pub fn finish(&mut self, say: &mut impl FnMut(Stream, &str)) {
        for ((_, stream), bytes) in self.pending.drain() {
            say_bytes(stream, &bytes, say);
        }
    }

    /// The step that failed, if one did.
    #[must_use]
    pub const fn failed(&self) -> Option<&FailedStep> {
        self.failed.as_ref()
    }

    fn begin(&mut self, vertex: &Vertex, say: &mut impl FnMut(Stream, &str)) {
        let begun = vertex.started.is_some() || vertex.cached;
        if !begun || is_internal(vertex) || !self.announced.insert(vertex.digest.clone()) {
            return;
        }
        if vertex.cached {
            self.finished.insert(vertex.digest.clone());
            say(Stream::System, &format!("{} (cached)", vertex.name));
        } else {
            say(Stream::System, &vertex.name);
        }
    }

    fn write(&mut self, output: Output, say: &mut impl FnMut(Stream, &str)) {
        let stream = output.stream;
        let pending = self.pending.entry((output.vertex, stream)).or_default();
        pending.extend_from_slice(&output.bytes);
        let mut rest = pending.as_slice();
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            say_bytes(stream, &rest[..end], say);
            rest = &rest[end + 1..];
        }
        while rest.len() > MAXIMUM_PENDING {
            say_bytes(stream, &rest[..MAXIMUM_PENDING], say);
            rest = &rest[MAXIMUM_PENDING..];
        }
        *pending = rest.to_vec();
    }

    fn end(&mut self, vertex: Vertex, say: &mut impl FnMut(Stream, &str)) {
        for stream in [1, 2] {
            if vertex.completed.is_none() {
                break;
            }
            if let Some(bytes) = self.pending.remove(&(vertex.digest.clone(), stream)) {
                say_bytes(stream, &bytes, say);
            }
        }
        if !vertex.error.is_empty() {
            // Steps that were stopped because another one failed say so too; the first counts.
            if self.failed.is_none() && !vertex.error.contains("context canceled") {
                self.failed = Some(FailedStep { name: vertex.name, error: vertex.error });
            }
            return;
        }
        let (Some(started), Some(completed)) = (vertex.started, vertex.completed) else { return };
        if is_internal(&vertex) || vertex.cached || !self.finished.insert(vertex.digest) {
            return;
        }
        let tenths = completed.saturating_sub(started) / 100_000_000;
        say(Stream::System, &format!("{} done in {}.{} s", vertex.name, tenths / 10, tenths % 10));
    }
}

/// Steps of BuildKit's own (loading the Dockerfile and the context) are no news.
fn is_internal(vertex: &Vertex) -> bool {
    vertex.name.is_empty()
        || vertex.name.starts_with("[internal]")
        || vertex.name == "copy /context /"
}

fn say_bytes(stream: u64, bytes: &[u8], say: &mut impl FnMut(Stream, &str)) {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches('\r');
    // A progress bar redraws its line; only its last state is a line.
    let text = text.rsplit('\r').next().unwrap_or(text);
    if text.is_empty() && bytes.is_empty() {
        return;
    }
    say(if stream == 2 { Stream::Stderr } else { Stream::Stdout }, text);
}

#[cfg(test)]
mod tests;
