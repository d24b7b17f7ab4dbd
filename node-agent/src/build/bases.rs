//! The images that a build stands on: checked before the engine asks any registry for them, and on
//! this node before the build begins, so that what they bring along can be looked at.

use std::collections::BTreeMap;

use zeitwork_outbound::{Guard, GuardError};

use super::engine::{Engine, EngineError};
use super::references::{self, Refused};

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

/// Checks every image that the Dockerfile names, and has its base images on the engine.
///
/// # Errors
/// [`BaseError`]
pub async fn ensure(
    engine: &Engine,
    guard: &Guard,
    content: &[u8],
    arguments: &BTreeMap<String, String>,
    mut say: impl FnMut(&str),
) -> Result<(), BaseError> {
    let found = references::find(content, arguments).map_err(BaseError::Line)?;
    for image in found.bases.iter().chain(&found.others) {
        check(guard, image).await?;
    }
    for image in &found.bases {
        let absent = |error| BaseError::Absent { image: image.clone(), error };
        let mut known = engine.image(image).await?;
        if known.is_none() {
            say(&format!("pulling {image}"));
            engine.pull(image).await.map_err(absent)?;
            known = engine.image(image).await?;
        }
        let gone = || absent(EngineError::Away("the image did not arrive".to_owned()));
        let triggers = known.ok_or_else(gone)?.triggers;
        let others = references::of_triggers(&triggers)
            .map_err(|refused| BaseError::Trigger { image: image.clone(), refused })?;
        for other in &others {
            check(guard, other).await?;
        }
    }
    Ok(())
}

/// Checks where the registry of an image is.
async fn check(guard: &Guard, image: &str) -> Result<(), BaseError> {
    let Some(url) = references::registry(image).map_err(BaseError::Line)? else { return Ok(()) };
    match guard.resolve(&url).await {
        Ok(_) => Ok(()),
        Err(reason) => Err(BaseError::Registry { image: image.to_owned(), reason }),
    }
}
