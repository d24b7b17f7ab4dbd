//! A stream that is followed: resumed where it broke off, until it ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;
use zeitwork_outbound::reqwest::Response;

use super::sse::{Event, Parser};
use super::{Answer, Api};

#[cfg(test)]
mod tests;

/// The server sends at least a comment more often than this: longer silence is a lost connection.
const SILENCE_LIMIT: Duration = Duration::from_mins(1);
/// Pause before the stream is opened again.
const PAUSE: Duration = Duration::from_millis(300);
/// For so long we try to get a lost stream back.
const LOST_LIMIT: Duration = Duration::from_mins(2);

/// What a stream brings.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A line, as the API writes it.
    Line(Value),
    /// Lines are missing here.
    Gap(Value),
}

/// A stream after its last event.
#[derive(Debug)]
pub struct Follow<'a> {
    api: &'a Api,
    path: String,
    last: Option<String>,
    parser: Parser,
    waiting: VecDeque<Event>,
    connection: Option<Response>,
    lost_since: Option<Instant>,
}

impl<'a> Follow<'a> {
    /// Nothing is sent before the first [`Follow::next`].
    pub fn new(api: &'a Api, path: &str) -> Self {
        Self {
            api,
            path: path.to_owned(),
            last: None,
            parser: Parser::default(),
            waiting: VecDeque::new(),
            connection: None,
            lost_since: None,
        }
    }

    /// The next line; none once the stream has ended.
    pub async fn next(&mut self) -> Result<Option<Item>> {
        loop {
            while let Some(event) = self.waiting.pop_front() {
                if let Some(id) = &event.id {
                    self.last = Some(id.clone());
                }
                match event.name.as_str() {
                    "line" | "event" | "message" | "" if event.data.is_empty() => {}
                    "line" | "event" | "message" | "" => return Ok(Some(Item::Line(data(&event)))),
                    "gap" => return Ok(Some(Item::Gap(data(&event)))),
                    "end" => return ended(&event),
                    // The server let go of us because we read too slowly: nothing is lost.
                    "slow" => self.connection = None,
                    // A newer server may say more.
                    _ => {}
                }
            }
            self.read().await?;
        }
    }

    /// Reads some bytes, opening the stream where it is not open.
    async fn read(&mut self) -> Result<()> {
        let Some(connection) = &mut self.connection else { return self.open().await };
        let read = tokio::time::timeout(SILENCE_LIMIT, connection.chunk()).await;
        if let Ok(Ok(Some(bytes))) = read {
            self.lost_since = None;
            self.waiting.extend(self.parser.push(&bytes));
        } else {
            // Closed, broken, or silent for too long: resumed after the last event.
            self.connection = None;
            self.lost_since.get_or_insert_with(Instant::now);
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<()> {
        self.parser = Parser::default();
        match self.api.open(&self.path, self.last.as_deref()).await {
            Ok(response) if response.status().is_success() => self.connection = Some(response),
            Ok(response) if response.status().is_server_error() && self.may_wait() => {
                tokio::time::sleep(PAUSE).await;
            }
            Ok(response) => {
                Answer::read(response).await?.accepted()?;
                bail!("the API does not stream {}", self.path);
            }
            Err(_) if self.may_wait() => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A stream that was open once is waited for; one that never was says at once why.
    fn may_wait(&self) -> bool {
        self.lost_since.is_some_and(|since| since.elapsed() < LOST_LIMIT)
    }
}

/// The end is good unless our own key was taken away.
fn ended(event: &Event) -> Result<Option<Item>> {
    if data(event).get("reason").and_then(Value::as_str) == Some("key_revoked") {
        bail!("the stream was closed: this key was revoked");
    }
    Ok(None)
}

fn data(event: &Event) -> Value {
    serde_json::from_str(&event.data).unwrap_or_else(|_| Value::String(event.data.clone()))
}
