//! Events of an environment.

use zeitwork_database::{PgConnection, events};
use zeitwork_model::id::{EnvironmentId, OrganisationId};
use zeitwork_web::Code;

use super::{Batch, Item, Source};
use crate::error::Answer;
use crate::views::environment::Event;

/// Events after a sequence.
#[derive(Debug)]
pub struct EventSource {
    organisation: OrganisationId,
    environment: EnvironmentId,
    sequence: i64,
}

impl EventSource {
    /// Events of the organisation's environment, after the cursor that a caller sent.
    pub fn new(
        organisation: OrganisationId,
        environment: EnvironmentId,
        cursor: Option<&str>,
    ) -> Answer<Self> {
        let sequence = match cursor {
            None => 0,
            Some(text) => text.parse().ok().filter(|it| *it >= 0).ok_or(Code::InvalidCursor)?,
        };
        Ok(Self { organisation, environment, sequence })
    }

    /// The text that resumes here.
    pub fn position(&self) -> String {
        self.sequence.to_string()
    }
}

impl Source for EventSource {
    async fn read(&mut self, connection: &mut PgConnection, limit: usize) -> Answer<Batch> {
        let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let (organisation, environment) = (self.organisation, self.environment);
        let mut rows =
            events::after(connection, organisation, environment, self.sequence, rows).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        self.sequence = rows.last().map_or(self.sequence, |row| row.sequence);
        let item = |row: events::Event| Item {
            id: row.sequence.to_string(),
            event: "line",
            data: serde_json::to_value(Event::from(row)).unwrap_or_default(),
        };
        Ok(Batch { items: rows.into_iter().map(item).collect(), more, ended: false })
    }
}
