//! Lines of builds and instances, merged by time, each stream in its own order.

use std::io::Read as _;

use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use time::serde::rfc3339;
use utoipa::ToSchema;
use zeitwork_database::log_chunks::{LogChunk, LogStream};
use zeitwork_database::{PgConnection, builds, deployments, log_chunks};
use zeitwork_model::id::{BuildId, DeploymentId, EnvironmentId, InstanceId, OrganisationId};

use super::cursor::Cursor;
use super::{Batch, Item, Source};
use crate::error::Answer;

/// A chunk is 64 KiB when it is written; this is what a hostile node could blow it up to.
const CHUNK_MAXIMUM: u64 = 8 * 1024 * 1024;
/// Chunks of one stream that are read at once.
const CHUNKS: i64 = 8;

/// A log line.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LogLine {
    /// Grows by one within its stream.
    pub seq: i64,
    /// When it was said.
    #[serde(with = "rfc3339")]
    pub at: OffsetDateTime,
    /// `stdout`, `stderr` or `system`.
    pub stream: String,
    /// Without its line end.
    pub text: String,
    /// Who said it; null for a build.
    pub instance: Option<InstanceId>,
}

/// A line as it is stored.
#[derive(Debug, Deserialize)]
struct Stored {
    seq: i64,
    #[serde(with = "rfc3339")]
    at: OffsetDateTime,
    stream: String,
    text: String,
}

/// Whose lines.
#[derive(Debug, Clone)]
pub enum About {
    /// One build's.
    Build(BuildId),
    /// A deployment's: those of its build and of its instances.
    Deployment(DeploymentId),
    /// Those of all instances of an environment.
    Environment(EnvironmentId),
}

/// Log lines after a cursor.
#[derive(Debug)]
pub struct LogSource {
    organisation: OrganisationId,
    about: About,
    only: Option<String>,
    cursor: Cursor,
    resumed: bool,
    /// Lines of before that are read of streams that have some already.
    tail: Option<i64>,
}

impl LogSource {
    /// Lines of the organisation's, after the cursor that a caller sent.
    pub fn new(
        organisation: OrganisationId,
        about: About,
        cursor: Option<&str>,
        tail: Option<i64>,
    ) -> Answer<Self> {
        let only = match &about {
            About::Build(build) => Some(build.to_string()),
            About::Deployment(_) | About::Environment(_) => None,
        };
        let resumed = cursor.is_some();
        let cursor = match cursor {
            Some(text) => Cursor::read(text, only.as_deref())?,
            None => Cursor::default(),
        };
        let tail = tail.filter(|_| !resumed);
        Ok(Self { organisation, about, only, cursor, resumed, tail })
    }

    /// The text that resumes here.
    pub fn position(&self) -> String {
        self.cursor.write(self.only.as_deref())
    }

    /// The streams, and whether there will be no others.
    async fn streams(&self, connection: &mut PgConnection) -> Answer<(Vec<String>, bool)> {
        let organisation = self.organisation;
        match self.about {
            About::Build(build) => {
                let row = builds::get(connection, organisation, build).await?;
                let over = row.is_none_or(|row| row.status.is_final());
                Ok((vec![build.to_string()], over))
            }
            About::Environment(environment) => {
                let all = log_chunks::of_instances(connection, organisation, environment, None);
                Ok((all.await?, false))
            }
            About::Deployment(id) => {
                let Some(row) = deployments::get(connection, organisation, id).await? else {
                    return Ok((Vec::new(), true));
                };
                let environment = row.environment_id;
                let mut streams =
                    log_chunks::of_instances(connection, organisation, environment, Some(id))
                        .await?;
                streams.extend(row.build_id.map(|build| build.to_string()));
                Ok((streams, row.status.is_final()))
            }
        }
    }

    /// Lines of one stream after its cursor, and whether it is read to its end.
    async fn lines(
        &mut self,
        connection: &mut PgConnection,
        row: &LogStream,
        limit: usize,
    ) -> Answer<Piece> {
        let stream = row.stream.as_str();
        let after = match self.cursor.of(stream) {
            Some(sequence) => sequence,
            None => self.tail.map_or(0, |tail| (row.last_sequence - tail).max(0)),
        };
        self.cursor.set(stream, after);
        if after >= row.last_sequence {
            let ended = row.ended_at.is_some();
            return Ok(Piece { stream: stream.to_owned(), ended, ..Piece::default() });
        }
        let chunks =
            log_chunks::after(connection, self.organisation, stream, after, CHUNKS).await?;
        // Where nothing is kept of what was said, all of it is the gap.
        let oldest = chunks.first().map_or(row.last_sequence + 1, |chunk| chunk.first_sequence);
        let gap = (oldest > after + 1).then_some((after + 1, oldest - 1));
        let mut lines = Vec::new();
        for chunk in chunks {
            decode(stream, &chunk, after, &mut lines);
            if lines.len() >= limit {
                break;
            }
        }
        let kept = gap.map_or(after, |(_, last)| last);
        let last = lines.last().map_or(kept, |line| line.seq);
        let ended = row.ended_at.is_some() && last >= row.last_sequence;
        let more = last < row.last_sequence && last > after;
        Ok(Piece { stream: stream.to_owned(), gap, lines, ended, more })
    }
}

/// What was read of one stream.
#[derive(Debug, Default)]
struct Piece {
    stream: String,
    gap: Option<(i64, i64)>,
    lines: Vec<LogLine>,
    ended: bool,
    more: bool,
}

impl Source for LogSource {
    async fn read(&mut self, connection: &mut PgConnection, limit: usize) -> Answer<Batch> {
        let (streams, over) = self.streams(connection).await?;
        self.cursor.keep(&streams);
        let mut batch = Batch { ended: over, ..Batch::default() };
        let mut lines = Vec::new();
        // One that has not begun has nothing to say, nor to wait for.
        for row in log_chunks::streams(connection, self.organisation, &streams).await? {
            let piece = self.lines(connection, &row, limit).await?;
            batch.ended &= piece.ended;
            batch.more |= piece.more;
            if let Some((first, last)) = piece.gap {
                self.cursor.set(&piece.stream, last);
                let data = json!({ "stream": piece.stream, "from": first, "to": last });
                // Who begins anew never had what is gone.
                if self.resumed {
                    batch.items.push(Item { id: self.position(), event: "gap", data });
                }
            }
            lines.extend(in_time(piece));
        }
        // Who begins later has said nothing yet: all of it comes.
        self.tail = None;
        // A stable sort: lines of one stream stay in their order.
        lines.sort_by_key(|(at, _, _)| *at);
        if lines.len() > limit {
            lines.truncate(limit);
            (batch.more, batch.ended) = (true, false);
        }
        for (_, stream, line) in lines {
            self.cursor.set(&stream, line.seq);
            let data = serde_json::to_value(&line).unwrap_or_default();
            batch.items.push(Item { id: self.position(), event: "line", data });
        }
        batch.ended &= !batch.more;
        Ok(batch)
    }
}

/// Lines with the time by which they are merged: it never runs backwards within a stream, even
/// where the node's clock did.
fn in_time(piece: Piece) -> impl Iterator<Item = (OffsetDateTime, String, LogLine)> {
    let mut newest = OffsetDateTime::UNIX_EPOCH;
    piece.lines.into_iter().map(move |line| {
        newest = newest.max(line.at);
        (newest, piece.stream.clone(), line)
    })
}

/// Adds the lines of a chunk after a sequence. One line stands for a chunk that cannot be read:
/// its writer's mistake must not end everybody's stream.
fn decode(stream: &str, chunk: &LogChunk, after: i64, lines: &mut Vec<LogLine>) {
    let instance = stream.parse().ok();
    let mut text = String::new();
    let read = zstd::Decoder::new(chunk.data.as_slice())
        .and_then(|decoder| decoder.take(CHUNK_MAXIMUM).read_to_string(&mut text));
    if let Err(error) = read {
        tracing::warn!(%error, log.stream = stream, "a chunk of lines cannot be read");
        let (first, seq) = (chunk.first_sequence.max(after + 1), chunk.last_sequence);
        let text = format!("lines {first} to {seq} cannot be read");
        let (at, stream) = (chunk.first_at, "system".to_owned());
        lines.push(LogLine { seq, at, stream, text, instance });
        return;
    }
    for stored in text.lines().filter_map(|line| serde_json::from_str::<Stored>(line).ok()) {
        if stored.seq > after {
            let Stored { seq, at, stream, text } = stored;
            lines.push(LogLine { seq, at, stream, text, instance });
        }
    }
}
