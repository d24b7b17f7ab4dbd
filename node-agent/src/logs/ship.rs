//! Writes the lines of a stream to the store, in chunks, in order, each once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use time::{OffsetDateTime, UtcOffset};
use tokio::sync::{Notify, watch};
use zeitwork_database::node_logs::{self, NewChunk};
use zeitwork_database::{Database, PgConnection};
use zeitwork_model::id::{BuildId, InstanceId};
use zeitwork_runtime::clock::Clock;
use zeitwork_runtime::failpoint::effect;
use zeitwork_runtime::lifecycle::{Lifecycle, chain};
use zeitwork_runtime::step;

use super::buffer::{Buffer, Record, encode};
use super::mark::Mark;
use super::throttle::{DayLimit, Passage, Throttle, marker};
use super::{Line, LogLines, LogSink, Stream};

/// Longest time that a line waits for others.
const PATIENCE: Duration = Duration::from_millis(400);
/// Bytes of a chunk before compression.
const CHUNK: usize = 64 * 1024;
/// Lines between a program and its collector.
const CAPACITY: usize = 4096;
/// Pause after a chunk that could not be written.
const PAUSE: Duration = Duration::from_secs(1);
/// A stream that has ended and that the store does not know is given up after so many tries.
const TRIES_AFTER_END: u32 = 60;
/// Time for what is left when the daemon stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where a stream goes on, once the store has said so.
pub type Resume = watch::Receiver<Option<Mark>>;

/// Opens streams to the store.
#[derive(Debug, Clone)]
pub struct Shipping {
    /// The store.
    pub database: Database,
    /// Stamps lines without a time.
    pub clock: Clock,
    /// Where tasks live.
    pub life: Lifecycle,
    /// Bytes that one stream may say in a day.
    pub day_bytes: u64,
}

#[derive(Default)]
struct Shared {
    buffer: Mutex<(Buffer, bool)>,
    filled: Notify,
}

impl Shipping {
    /// Where a build says its lines; the stream ends with the sink.
    #[must_use]
    pub fn build(&self, id: BuildId) -> LogSink {
        self.open(id.to_string(), false).0
    }

    /// Where an instance's lines go, and from where on; the stream ends with the sink.
    #[must_use]
    pub fn instance(&self, id: InstanceId) -> (LogSink, Resume) {
        self.open(id.to_string(), true)
    }

    fn open(&self, stream: String, resumes: bool) -> (LogSink, Resume) {
        let (sink, lines) = LogSink::channel(CAPACITY);
        let shared = Arc::new(Shared::default());
        let collector = Collector {
            shared: Arc::clone(&shared),
            clock: self.clock.clone(),
            throttle: Throttle::default(),
            day: DayLimit::new(self.day_bytes),
        };
        let collector = collector.run(lines);
        self.life.spawn_detached("log collector", stop_with(self.life.clone(), collector));
        let resume = watch::Sender::new(None);
        let resumed = resume.subscribe();
        let writer = Writer {
            shipping: self.clone(),
            stream,
            shared,
            resumes,
            resume,
            mark: Mark::default(),
            author: rand::random(),
            position: None,
            tries: 0,
        };
        self.life.spawn_detached("log writer", writer.run());
        (sink, resumed)
    }
}

async fn stop_with(life: Lifecycle, work: impl Future<Output = ()>) {
    tokio::select! {
        () = life.stopping() => {}
        () = work => {}
    }
}

/// Puts lines into the buffer, as many as may be said.
struct Collector {
    shared: Arc<Shared>,
    clock: Clock,
    throttle: Throttle,
    day: DayLimit,
}

impl Collector {
    async fn run(mut self, mut lines: LogLines) {
        while let Some(line) = lines.next().await {
            let at = line.at.unwrap_or_else(|| self.clock.now());
            self.take(line, at);
        }
        let now = self.clock.now();
        if self.throttle.dropped() > 0 {
            self.say(marker(self.throttle.dropped()), now);
        }
        if self.day.dropped() > 0 {
            self.say(self.day.marker(self.day.dropped()), now);
        }
        lock(&self.shared).1 = true;
        self.shared.filled.notify_one();
    }

    fn take(&mut self, line: Line, at: OffsetDateTime) {
        // The platform's own words are few, and say why the others are missing.
        let limited = line.stream != Stream::System;
        if limited {
            match self.day.pass(at.to_offset(UtcOffset::UTC).date()) {
                Passage::Drop => return,
                Passage::Pass => {}
                Passage::PassAfter(count) => self.say(self.day.marker(count), at),
            }
        }
        match self.throttle.pass(line.text.len(), at) {
            Passage::Drop => return,
            Passage::Pass => {}
            Passage::PassAfter(count) => self.say(marker(count), at),
        }
        let is_last = limited && self.day.count(line.text.len() + 1);
        self.push(Record { at, stream: line.stream, text: line.text });
        if is_last {
            self.say(self.day.reached(), at);
        }
    }

    fn say(&self, text: String, at: OffsetDateTime) {
        self.push(Record { at, stream: Stream::System, text });
    }

    fn push(&self, record: Record) {
        lock(&self.shared).0.push(record);
        self.shared.filled.notify_one();
    }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, (Buffer, bool)> {
    shared.buffer.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer {
    shipping: Shipping,
    stream: String,
    shared: Arc<Shared>,
    /// What was read can be read again, and has a mark.
    resumes: bool,
    resume: watch::Sender<Option<Mark>>,
    /// What is stored.
    mark: Mark,
    /// Told apart from other writers of the stream: the agent's earlier life.
    author: u64,
    /// The end of the stream, where it is known.
    position: Option<i64>,
    tries: u32,
}

impl Writer {
    async fn run(mut self) {
        let life = self.shipping.life.clone();
        // Whoever reads waits for where to begin.
        if !self.insist(&mut Vec::new(), false).await {
            return;
        }
        loop {
            let stopping = tokio::select! {
                () = life.stopping() => true,
                () = self.due() => false,
            };
            let (mut records, ended) = {
                let mut shared = lock(&self.shared);
                let records = shared.0.take(CHUNK);
                (records, shared.1 && shared.0.is_empty())
            };
            if stopping {
                let last = self.write(&mut records, false);
                let _ = tokio::time::timeout(LAST_WORDS, last).await;
                return;
            }
            if !self.insist(&mut records, ended).await || ended {
                return;
            }
        }
    }

    /// Writes the chunk as often as it takes; false where it is given up.
    async fn insist(&mut self, records: &mut Vec<Record>, ended: bool) -> bool {
        let life = self.shipping.life.clone();
        while !self.write(records, ended).await {
            self.tries += 1;
            let has_ended = ended || lock(&self.shared).1;
            if has_ended && self.tries > TRIES_AFTER_END {
                tracing::warn!(stream = self.stream, "lines could not be stored");
                return false;
            }
            tokio::select! {
                () = life.stopping() => return false,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        self.tries = 0;
        true
    }

    /// Waits until there is a chunk to write.
    async fn due(&self) {
        let mut waited = None::<Instant>;
        loop {
            let (bytes, empty, ended) = {
                let shared = lock(&self.shared);
                (shared.0.bytes(), shared.0.is_empty(), shared.1)
            };
            let since = (!empty).then(|| *waited.get_or_insert_with(Instant::now));
            let patience = since.map(|time| PATIENCE.saturating_sub(time.elapsed()));
            if ended || bytes >= CHUNK || patience == Some(Duration::ZERO) {
                return;
            }
            match patience {
                None => self.shared.filled.notified().await,
                Some(patience) => {
                    let filled = self.shared.filled.notified();
                    let _ = tokio::time::timeout(patience, filled).await;
                }
            }
        }
    }

    /// Writes the chunk; false where it has to be tried again.
    async fn write(&mut self, records: &mut Vec<Record>, ended: bool) -> bool {
        match self.append(records, ended).await {
            Ok(done) => done,
            Err(error) => {
                tracing::debug!(stream = self.stream, error = chain(&error), "lines wait");
                false
            }
        }
    }

    async fn append(
        &mut self,
        records: &mut Vec<Record>,
        ended: bool,
    ) -> zeitwork_database::Result<bool> {
        let mut connection = self.shipping.database.acquire().await?;
        let after = if let Some(position) = self.position {
            position
        } else {
            let Some(position) = self.find_end(&mut connection).await? else { return Ok(false) };
            // The agent before has stored them: its last words came late.
            records.retain(|record| !self.mark.covers(record.stream, record.at));
            position
        };
        if records.is_empty() && !ended {
            return Ok(true);
        }
        let mut mark = self.mark;
        for record in records.iter().filter(|_| self.resumes) {
            mark.advance(record.stream, record.at);
        }
        let text = mark.text(self.author);
        let now = self.shipping.clock.now();
        let lines = i32::try_from(records.len()).unwrap_or(i32::MAX);
        let data = if records.is_empty() { Ok(Vec::new()) } else { encode(records, after + 1) };
        let Ok(data) = data else { return Ok(true) };
        let chunk = NewChunk {
            stream: &self.stream,
            after,
            lines,
            first_at: records.first().map_or(now, |record| record.at),
            last_at: records.last().map_or(now, |record| record.at),
            data: &data,
            ended,
            mark: &text,
        };
        let appended = node_logs::append(&mut connection, &chunk);
        let appended = effect(step!("logs.append"), appended).await?;
        let last = after + i64::from(lines);
        if appended {
            (self.position, self.mark) = (Some(last), mark);
            return Ok(true);
        }
        // Written by the try before, whose answer was lost, or something else was.
        let end = node_logs::end(&mut connection, &self.stream).await?;
        if end.is_some_and(|end| end.last == last && end.mark.as_ref() == Some(&text)) {
            (self.position, self.mark) = (Some(last), mark);
            return Ok(true);
        }
        self.position = None;
        Ok(false)
    }

    /// Asks where the stream ends; none where there is no such stream (yet).
    async fn find_end(
        &mut self,
        connection: &mut PgConnection,
    ) -> zeitwork_database::Result<Option<i64>> {
        let Some(end) = node_logs::end(connection, &self.stream).await? else { return Ok(None) };
        self.position = Some(end.last);
        self.mark = end.mark.map(|mark| Mark::read(&mark)).unwrap_or_default();
        self.resume.send_if_modified(|known| known.is_none() && known.replace(self.mark).is_none());
        Ok(self.position)
    }
}
