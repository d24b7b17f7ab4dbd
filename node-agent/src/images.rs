//! Images of ours on the engine, and which of them nothing wants any more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use zeitwork_protocol::report::ImageReport;
use zeitwork_protocol::target::NodeTarget;

use crate::container::Container;
use crate::container::engine::{Engine, chain};
use crate::plan::IdleImage;

/// Time between two looks at the images.
const PERIOD: Duration = Duration::from_secs(10);

/// What is known of the images.
#[derive(Debug, Default)]
pub struct Images {
    looked: Option<Instant>,
    listed: Vec<ImageReport>,
    /// When the listing was asked for that `listed` is.
    listed_at: Option<Instant>,
    idle_since: BTreeMap<String, Instant>,
}

impl Images {
    /// Looks, when it is time to.
    pub async fn look(&mut self, engine: &Engine, target: &NodeTarget, containers: &[Container]) {
        if self.looked.is_some_and(|time| time.elapsed() < PERIOD) {
            return;
        }
        let asked = Instant::now();
        self.looked = Some(asked);
        match engine.images().await {
            Ok(images) => {
                let report = |image: bollard::models::ImageSummary| ImageReport {
                    image: image.id,
                    size_bytes: u64::try_from(image.size).unwrap_or(0),
                };
                self.listed = images.into_iter().map(report).collect();
                self.listed_at = Some(asked);
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "images cannot be listed");
                return;
            }
        }
        let wanted = |image: &str| {
            target.keep_images.iter().any(|kept| kept == image)
                || target.instances.iter().any(|instance| instance.image == image)
        };
        // A build that the target lists may have just made its image, and any container may be
        // of an image that no target lists any more: then nothing is idle.
        let quiet = target.builds.is_empty() && containers.iter().all(|c| c.instance.is_some());
        let now = Instant::now();
        self.idle_since.retain(|image, _| self.listed.iter().any(|listed| listed.image == *image));
        for listed in &self.listed {
            if !quiet || wanted(&listed.image) {
                self.idle_since.remove(&listed.image);
            } else {
                self.idle_since.entry(listed.image.clone()).or_insert(now);
            }
        }
    }

    /// Has the next look come at once (a build has made an image).
    pub fn look_soon(&mut self) {
        self.looked = None;
    }

    /// Its removal was tried: where something else still needs it, that is not tried at each look.
    pub fn tried(&mut self, image: &str) {
        if let Some(since) = self.idle_since.get_mut(image) {
            *since = Instant::now();
        }
    }

    /// Images that nothing wants, and for how long.
    #[must_use]
    pub fn idle(&self) -> Vec<IdleImage> {
        let idle = |(image, since): (&String, &Instant)| IdleImage {
            image: image.clone(),
            idle: since.elapsed(),
        };
        self.idle_since.iter().map(idle).collect()
    }

    /// For the report.
    #[must_use]
    pub fn reports(&self) -> Vec<ImageReport> {
        self.listed.clone()
    }

    /// When what is reported was asked for; none while the engine has listed nothing yet.
    #[must_use]
    pub fn listed_at(&self) -> Option<Instant> {
        self.listed_at
    }
}
