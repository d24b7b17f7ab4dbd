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
}

/// Appends; answers the stream's last sequence. If that is not `after` plus the number of lines,
/// nothing was written and the caller numbers its lines anew behind it.
///
/// # Errors
/// The stream is none of this node's, and those of every statement.
pub async fn append(connection: &mut PgConnection, chunk: &NewChunk<'_>) -> Result<i64> {
    let row = sqlx::query!(
        r#"select zw.append_log($1, $2, $3, $4, $5, $6, $7) as "last!""#,
        chunk.stream,
        chunk.after,
        chunk.lines,
        chunk.first_at,
        chunk.last_at,
        chunk.data,
        chunk.ended,
    )
    .fetch_one(connection)
    .await?;
    Ok(row.last)
}

/// The last sequence of one of this node's streams; `None` where it has no such stream (yet).
///
/// # Errors
/// Those of every statement.
pub async fn position(connection: &mut PgConnection, stream: &str) -> Result<Option<i64>> {
    let row =
        sqlx::query!("select zw.log_position($1) as last", stream).fetch_one(connection).await?;
    Ok(row.last)
}
