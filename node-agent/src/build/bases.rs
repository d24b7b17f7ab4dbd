//! The images that a build stands on: checked before the engine asks any registry for them, on this
//! node before the build begins, so that what they bring along can be looked at, and gone after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeitwork_outbound::{Guard, GuardError};
use zeitwork_runtime::failpoint::effect;
use zeitwork_runtime::step;

use super::engine::{Engine, EngineError};
use super::references::{self, Refused};
use crate::disk;

/// Why a build does not stand.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// A line that is not followed.
    #[error("a line is not followed")]
    Line(Refused),
    /// A registry is where builds may not go, or its name cannot be resolved.
    #[error("the registry of {image}: {reason}")]
    Registry {
        /// The image.
        image: String,
        /// Why.
        #[source]
        reason: GuardError,
    },
    /// A base image brings a trigger along that is not followed.
    #[error("a trigger of {image} is not followed")]
    Trigger {
        /// The image.
        image: String,
        /// The trigger.
        refused: Refused,
    },
    /// A base image could not be had.
    #[error("{image}: {error}")]
    Absent {
        /// The image.
        image: String,
        /// What the engine says.
        #[source]
        error: EngineError,
    },
    /// The engine does not answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What base images are checked and fetched by.
#[derive(Debug, Clone, Copy)]
pub struct Bases<'a> {
    /// The engine that fetches them.
    pub engine: &'a Engine,
    /// Where registries may be.
    pub guard: &'a Guard,
    /// What was fetched.
    pub pulled: &'a Arc<Pulled>,
}

impl Bases<'_> {
    /// Checks every image that the Dockerfile names, and has its base images on the engine while
    /// the returned value lives.
    ///
    /// # Errors
    /// [`BaseError`]
    pub async fn ensure(
        self,
        content: &[u8],
        arguments: &BTreeMap<String, String>,
        mut say: impl FnMut(&str),
    ) -> Result<Held, BaseError> {
        let found = references::find(content, arguments).map_err(BaseError::Line)?;
        for image in found.bases.iter().chain(&found.others) {
            check(self.guard, image).await?;
        }
        let held = Held::new(self.pulled, &found.bases);
        for image in &found.bases {
            let absent = |error| BaseError::Absent { image: image.clone(), error };
            let mut known = self.engine.image(image).await?;
            if known.is_none() {
                say(&format!("pulling {image}"));
                self.pulled.note(image);
                let pull = self.engine.pull(image);
                effect(step!("builds.pull"), pull).await.map_err(absent)?;
                known = self.engine.image(image).await?;
            }
            let gone = || absent(EngineError::Away("the image did not arrive".to_owned()));
            let triggers = known.ok_or_else(gone)?.triggers;
            let others = references::of_triggers(&triggers)
                .map_err(|refused| BaseError::Trigger { image: image.clone(), refused })?;
            for other in &others {
                check(self.guard, other).await?;
            }
        }
        Ok(held)
    }
}

/// Base images that were pulled for builds, remembered on disk. They go with the last build that
/// needs them: a tag means what its registry says, not what it said once. Their layers stay as
/// long as an image has them.
#[derive(Debug)]
pub struct Pulled {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    images: BTreeSet<String>,
    users: BTreeMap<String, usize>,
}

/// Base images that a build needs now.
#[derive(Debug)]
pub struct Held {
    pulled: Arc<Pulled>,
    images: BTreeSet<String>,
}

impl Pulled {
    /// Those of the file: of builds that were killed.
    #[must_use]
    pub fn load(path: PathBuf) -> Self {
        let kept = std::fs::read(&path).unwrap_or_default();
        let images = serde_json::from_slice(&kept).unwrap_or_default();
        Self { path, known: Mutex::new(Known { images, users: BTreeMap::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an image before it is pulled.
    fn note(&self, image: &str) {
        let mut known = self.lock();
        known.images.insert(image.to_owned());
        self.keep(&known.images);
    }

    fn keep(&self, images: &BTreeSet<String>) {
        let text = serde_json::to_vec(images).unwrap_or_default();
        if let Err(error) = disk::write(step!("builds.remember"), &self.path, &text) {
            tracing::warn!(%error, "pulled base images cannot be remembered");
        }
    }

    /// Removes those that no build needs.
    pub async fn sweep(&self, engine: &Engine) {
        let unused: Vec<String> = {
            let known = self.lock();
            let is_unused = |image: &&String| !known.users.contains_key(*image);
            known.images.iter().filter(is_unused).cloned().collect()
        };
        for image in unused {
            match engine.remove_image(&image).await {
                Ok(()) => {
                    let mut known = self.lock();
                    known.images.remove(&image);
                    self.keep(&known.images);
                }
                Err(error) => tracing::debug!(%error, image, "a base image stays"),
            }
        }
    }
}

impl Held {
    fn new(pulled: &Arc<Pulled>, images: &BTreeSet<String>) -> Self {
        for image in images {
            *pulled.lock().users.entry(image.clone()).or_default() += 1;
        }
        Self { pulled: Arc::clone(pulled), images: images.clone() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut known = self.pulled.lock();
        for image in &self.images {
            let left = known.users.get(image).map_or(0, |users| users.saturating_sub(1));
            if left == 0 {
                known.users.remove(image);
            } else {
                known.users.insert(image.clone(), left);
            }
        }
    }
}

/// Checks where the registry of an image is.
async fn check(guard: &Guard, image: &str) -> Result<(), BaseError> {
    let Some(url) = references::registry(image).map_err(BaseError::Line)? else { return Ok(()) };
    match guard.resolve(&url).await {
        Ok(_) => Ok(()),
        Err(reason) => Err(BaseError::Registry { image: image.to_owned(), reason }),
    }
}
