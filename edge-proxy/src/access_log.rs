//! One JSON line for each request, written by a thread of its own from whole batches.
//!
//! The request path only moves a record into its worker's batch; formatting happens elsewhere.
//! When the reader of standard output is too slow, records are dropped and counted: serving goes
//! before logging. Queries are never logged; they carry tokens.

use std::cell::RefCell;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use hyper::{Method, Uri};
use serde::Serialize;
use time::OffsetDateTime;
use zeitwork_model::id::{EnvironmentId, InstanceId, ProjectId};

use crate::routes::table::Site;

const BATCH: usize = 256;
/// Batches between the workers and the writer.
const QUEUE: usize = 64;

/// What is known of a request that has ended.
#[derive(Debug)]
pub struct Record {
    /// Request id.
    pub id: HeaderValue,
    /// The client's address.
    pub client: IpAddr,
    /// Method; none where the head could not be read.
    pub method: Option<Method>,
    /// Target; only its path is written.
    pub uri: Option<Uri>,
    /// The host as it was asked for.
    pub host: Option<HeaderValue>,
    /// The route.
    pub site: Option<Arc<Site>>,
    /// The instance asked last.
    pub instance: Option<InstanceId>,
    /// Code of our own answer.
    pub answer: Option<&'static str>,
    /// Status; 499 where the client left before the answer.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Whether the answer was passed on to its end.
    pub complete: bool,
    /// From the request's head to the end of the answer.
    pub took: Duration,
    /// When it ended.
    pub ended: Option<Instant>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            id: HeaderValue::from_static(""),
            client: Ipv4Addr::UNSPECIFIED.into(),
            method: None,
            uri: None,
            host: None,
            site: None,
            instance: None,
            answer: None,
            status: 0,
            bytes: 0,
            complete: false,
            took: Duration::ZERO,
            ended: None,
        }
    }
}

/// A worker's end of the log.
#[derive(Debug)]
pub struct Batch {
    records: RefCell<Vec<Record>>,
    writer: Option<SyncSender<Vec<Record>>>,
}

impl Batch {
    /// A batch for the writer; without one nothing is logged.
    #[must_use]
    pub fn new(writer: Option<SyncSender<Vec<Record>>>) -> Self {
        Self { records: RefCell::default(), writer }
    }

    /// Whether records are wanted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.writer.is_some()
    }

    /// Takes a record; a full batch goes before the next [`Batch::flush`]. Returns how many were
    /// dropped.
    pub fn push(&self, record: Record) -> usize {
        let mut records = self.records.borrow_mut();
        records.push(record);
        let full = records.len() >= BATCH;
        drop(records);
        if full { self.flush() } else { 0 }
    }

    /// Hands the records over; returns how many were dropped because the writer is behind.
    pub fn flush(&self) -> usize {
        let Some(writer) = &self.writer else { return 0 };
        let records = std::mem::take(&mut *self.records.borrow_mut());
        let count = records.len();
        if count == 0 || writer.try_send(records).is_ok() { 0 } else { count }
    }
}

/// A line of the log.
#[derive(Debug, Serialize)]
struct Line<'a> {
    #[serde(with = "time::serde::rfc3339")]
    timestamp: OffsetDateTime,
    level: &'static str,
    message: &'static str,
    #[serde(rename = "request.id")]
    request_id: &'a str,
    #[serde(rename = "client.address")]
    client: IpAddr,
    host: &'a str,
    #[serde(rename = "project.id", skip_serializing_if = "Option::is_none")]
    project: Option<ProjectId>,
    #[serde(rename = "environment.id", skip_serializing_if = "Option::is_none")]
    environment: Option<EnvironmentId>,
    #[serde(rename = "instance.id", skip_serializing_if = "Option::is_none")]
    instance: Option<InstanceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'static str>,
    duration_us: u128,
    bytes: u64,
    complete: bool,
}

impl Record {
    fn line(&self, now: OffsetDateTime) -> Line<'_> {
        let owner = self.site.as_ref().and_then(|site| site.owner);
        let age = self.ended.map_or(Duration::ZERO, |ended| ended.elapsed());
        Line {
            timestamp: now - age,
            level: "INFO",
            message: "request",
            request_id: self.id.to_str().unwrap_or_default(),
            client: self.client,
            host: self.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default(),
            project: owner.map(|owner| owner.project),
            environment: owner.map(|owner| owner.environment),
            instance: self.instance,
            method: self.method.as_ref().map(Method::as_str),
            path: self.uri.as_ref().map(Uri::path),
            status: self.status,
            answer: self.answer,
            duration_us: self.took.as_micros(),
            bytes: self.bytes,
            complete: self.complete,
        }
    }
}

/// Starts the writer. It ends when the last worker has gone.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(
    mut output: impl Write + Send + 'static,
    now: impl Fn() -> OffsetDateTime + Send + 'static,
) -> std::io::Result<SyncSender<Vec<Record>>> {
    let (sender, receiver) = sync_channel(QUEUE);
    std::thread::Builder::new()
        .name("access-log".into())
        .spawn(move || write_all(&receiver, &mut output, now))?;
    Ok(sender)
}

fn write_all(
    receiver: &Receiver<Vec<Record>>,
    output: &mut impl Write,
    now: impl Fn() -> OffsetDateTime,
) {
    let mut buffer = Vec::with_capacity(64 * 1024);
    while let Ok(records) = receiver.recv() {
        buffer.clear();
        for record in &records {
            if serde_json::to_writer(&mut buffer, &record.line(now())).is_ok() {
                buffer.push(b'\n');
            }
        }
        // A closed standard output must not end the serving.
        let _ = output.write_all(&buffer).and_then(|()| output.flush());
    }
}

#[cfg(test)]
mod tests;
