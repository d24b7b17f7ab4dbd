//! `zeitwork pause` and `zeitwork resume`.

use anyhow::Result;
use serde_json::json;

use crate::session::{Session, Target};

/// Freezes all instances.
pub async fn pause(target: &Target, session: &Session) -> Result<()> {
    switch(target, session, "pause", "is paused").await
}

/// Lets them run again.
pub async fn resume(target: &Target, session: &Session) -> Result<()> {
    switch(target, session, "resume", "is resumed").await
}

async fn switch(target: &Target, session: &Session, verb: &str, done: &str) -> Result<()> {
    let api = session.api()?;
    let path = format!("{}/{verb}", target.path(&api).await?);
    let answer = api.post(&path, &json!({})).await?;
    session.output.either(&answer, |output| output.line(&format!("{} {done}", target.environment)))
}
