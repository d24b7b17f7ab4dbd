//! Reading log lines: chunks of a stream after a sequence.

use sqlx::PgConnection;
use time::OffsetDateTime;
use zeitwork_model::id::{DeploymentId, EnvironmentId, OrganisationId};

use crate::Result;

/// A stream of lines: an instance's or a build's.
#[derive(Debug, Clone)]
pub struct LogStream {
    /// `ins_…` or `bld_…`.
    pub stream: String,
    /// Of its newest line.
    pub last_sequence: i64,
    /// When no more lines will come.
    pub ended_at: Option<OffsetDateTime>,
}

/// A compressed piece of a stream.
#[derive(Debug, Clone)]
pub struct LogChunk {
    /// Of its first line.
    pub first_sequence: i64,
    /// Of its last line.
    pub last_sequence: i64,
    /// When its first line was said.
    pub first_at: OffsetDateTime,
    /// zstd of JSON lines `{"seq", "at", "stream", "text"}`.
    pub data: Vec<u8>,
}

/// Those of the named streams that the organisation has and that have begun.
///
/// # Errors
/// Those of every statement.
pub async fn streams(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    names: &[String],
) -> Result<Vec<LogStream>> {
    let rows = sqlx::query_as!(
        LogStream,
        "select stream, last_sequence, ended_at from log_streams
        where organisation_id = $1 and stream = any($2)
        order by stream
        limit 1000",
        organisation as OrganisationId,
        names
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The streams of an environment's instances, newest first, at most 100: those of one
/// deployment, or of all.
///
/// # Errors
/// Those of every statement.
pub async fn of_instances(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    environment: EnvironmentId,
    deployment: Option<DeploymentId>,
) -> Result<Vec<String>> {
    let rows = sqlx::query!(
        r#"select i.id as "id: zeitwork_model::id::InstanceId" from instances i
        where i.organisation_id = $1 and i.environment_id = $2
            and ($3::uuid is null or i.deployment_id = $3)
        order by i.id desc
        limit 100"#,
        organisation as OrganisationId,
        environment as EnvironmentId,
        deployment as Option<DeploymentId>
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.id.to_string()).collect())
}

/// The chunks of a stream that hold lines after the sequence, oldest first.
///
/// # Errors
/// Those of every statement.
pub async fn after(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    stream: &str,
    sequence: i64,
    limit: i64,
) -> Result<Vec<LogChunk>> {
    let rows = sqlx::query_as!(
        LogChunk,
        "select c.first_sequence, c.last_sequence, c.first_at, c.data
        from log_chunks c
        join log_streams s on s.stream = c.stream
        where s.organisation_id = $1 and c.stream = $2 and c.last_sequence > $3
        order by c.first_sequence
        limit $4",
        organisation as OrganisationId,
        stream,
        sequence,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
