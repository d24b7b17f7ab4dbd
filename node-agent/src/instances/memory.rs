//! What is remembered of the instances over a restart of the agent.

use std::collections::BTreeMap;
use std::path::PathBuf;

use zeitwork_model::id::InstanceId;
use zeitwork_model::reason::Reason;
use zeitwork_runtime::step;

use crate::disk;
use crate::life::Life;

/// The node's problem where the state directory takes nothing.
pub const STATE_UNWRITABLE: &str = "state_unwritable";

/// The lives of the node's instances, with their file.
#[derive(Debug)]
pub struct Memory {
    /// By instance.
    pub lives: BTreeMap<InstanceId, Life>,
    path: PathBuf,
    saved: Vec<u8>,
    /// Why the file is not as it should be.
    trouble: Option<String>,
}

impl Memory {
    /// What the file holds; without a readable one nothing is remembered.
    #[must_use]
    pub fn load(path: PathBuf) -> Self {
        let saved = std::fs::read(&path).unwrap_or_default();
        let lives = serde_json::from_slice(&saved).unwrap_or_default();
        Self { lives, path, saved, trouble: None }
    }

    /// Writes the file where anything worth it has changed; the node's problem while that cannot
    /// be done. What is remembered is right as long as the agent lives.
    pub fn save(&mut self) -> Option<Reason> {
        let text = serde_json::to_vec(&self.lives).ok()?;
        let write = |text| disk::write(step!("instances.remember"), &self.path, text);
        let written = if text == self.saved { Ok(()) } else { write(&text) };
        match written {
            Ok(()) => {
                self.saved = text;
                self.trouble = None;
            }
            Err(error) => {
                if self.trouble.is_none() {
                    tracing::warn!(%error, path = %self.path.display(), "memory cannot be written");
                }
                self.trouble = Some(error.to_string());
            }
        }
        let trouble = self.trouble.as_ref()?;
        let text = format!(
            "the agent cannot write its state directory ({trouble}): until it can, what it knows \
             of its instances does not outlive its restart"
        );
        Some(Reason::new(STATE_UNWRITABLE, text))
    }
}
