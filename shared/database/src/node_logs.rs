//! What a node appends to its own log streams. Reading is in `log_chunks`.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::Result;

/// Lines of one stream, to be appended as one chunk.
#[derive(Debug, Clone)]
pub struct NewChunk<'a> {
    /// `ins_…` or `bld_…`.
    pub stream: &'a str,
    /// The chunk is appended behind this sequence, or not at all.
    pub after: i64,
    /// Number of lines.
    pub lines: i32,
    /// When the first was said.
    pub first_at: OffsetDateTime,
    /// When the last was said.
    pub last_at: OffsetDateTime,
    /// zstd of JSON lines `{"seq", "at", "stream", "text"}`.
    pub data: &'a [u8],
    /// Whether nothing more comes.
    pub ended: bool,
    /// Until where the node has read what the stream speaks of, in its own words (256 bytes at
    /// most): stored with the lines.
    pub mark: &'a str,
}

/// The end of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its last sequence.
    pub last: i64,
    /// The mark of the last chunk that had one.
    pub mark: Option<String>,
}

/// Appends; false where the stream does not end at `after`, and nothing was written.
///
/// # Errors
/// The stream is none of this node's, and those of every statement.
pub async fn append(connection: &mut PgConnection, chunk: &NewChunk<'_>) -> Result<bool> {
    let row = sqlx::query!(
        r#"select zw.append_chunk($1, $2, $3, $4, $5, $6, $7, $8) as "appended!""#,
        chunk.stream,
        chunk.after,
        chunk.lines,
        chunk.first_at,
        chunk.last_at,
        chunk.data,
        chunk.ended,
        chunk.mark,
    )
    .fetch_one(connection)
    .await?;
    Ok(row.appended)
}

/// The end of one of this node's streams; `None` where it has no such stream (yet).
///
/// # Errors
/// Those of every statement.
pub async fn end(connection: &mut PgConnection, stream: &str) -> Result<Option<End>> {
    let end = sqlx::query_as!(End, r#"select last as "last!", mark from zw.log_end($1)"#, stream,)
        .fetch_optional(connection)
        .await?;
    Ok(end)
}
