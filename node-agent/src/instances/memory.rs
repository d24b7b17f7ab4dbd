//! What is remembered of the instances over a restart of the agent.

use std::collections::BTreeMap;
use std::path::PathBuf;

use zeitwork_model::id::InstanceId;

use crate::disk;
use crate::life::Life;

/// The lives of the node's instances, with their file.
#[derive(Debug)]
pub struct Memory {
    /// By instance.
    pub lives: BTreeMap<InstanceId, Life>,
    path: PathBuf,
    saved: Vec<u8>,
}

impl Memory {
    /// What the file holds; without a readable one nothing is remembered.
    #[must_use]
    pub fn load(path: PathBuf) -> Self {
        let saved = std::fs::read(&path).unwrap_or_default();
        let lives = serde_json::from_slice(&saved).unwrap_or_default();
        Self { lives, path, saved }
    }

    /// Writes the file where anything worth it has changed.
    pub fn save(&mut self) {
        let Ok(text) = serde_json::to_vec(&self.lives) else { return };
        if text == self.saved {
            return;
        }
        match disk::write(&self.path, &text) {
            Ok(()) => self.saved = text,
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "memory cannot be written");
            }
        }
    }
}
