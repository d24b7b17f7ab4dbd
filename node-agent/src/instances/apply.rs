//! Carries out single actions beside the loop, which hears of their end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use zeitwork_model::id::InstanceId;
use zeitwork_model::reason::Reason;
use zeitwork_protocol::target::{InstanceTarget, NodeTarget};
use zeitwork_runtime::lifecycle::Lifecycle;
use zeitwork_secrets::seal::PrivateKey;

use super::variables;
use crate::container::engine::{Engine, EngineError, chain};
use crate::container::specification::Specification;
use crate::observe::host::cores;
use crate::plan::Action;

/// An action that failed is not planned again before this: a failure must not become a storm.
const BRAKE: Duration = Duration::from_secs(1);

/// An action has ended.
#[derive(Debug)]
pub struct Done {
    /// What is no longer busy.
    pub key: String,
    /// Whether it was a start.
    pub started: bool,
    /// The instance that it was about.
    pub instance: Option<InstanceId>,
    /// Why the instance could not be started.
    pub start_failed: Option<Reason>,
}

/// What actions need.
#[derive(Debug, Clone)]
pub struct Work {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The newest target: an image may be wanted again since its removal was planned.
    pub targets: watch::Receiver<Option<Arc<NodeTarget>>>,
    /// Opens variables.
    pub key: Arc<PrivateKey>,
    /// Name of the engine's network.
    pub network: String,
    /// Where ends are told.
    pub done: mpsc::UnboundedSender<Done>,
    /// Where actions run.
    pub life: Lifecycle,
}

impl Work {
    /// Begins the action; the key is busy until it is told as done.
    #[must_use]
    pub fn begin(&self, action: Action, target: &Arc<NodeTarget>) -> String {
        let key = key_of(&action);
        let work = self.clone();
        let target = Arc::clone(target);
        let busy = key.clone();
        self.life.spawn_detached("action", async move {
            let started = matches!(action, Action::Launch(_) | Action::Start(..));
            let instance = match &action {
                Action::Launch(id) | Action::Start(id, _) => Some(*id),
                _ => None,
            };
            let start_failed = match work.carry_out(&action, &target).await {
                Ok(()) => None,
                Err(Some(reason)) => Some(reason),
                Err(None) => {
                    tokio::time::sleep(BRAKE).await;
                    None
                }
            };
            let done = Done { key: busy, started, instance, start_failed };
            // Nobody listens any more once the loop has ended.
            let _ = work.done.send(done);
        });
        key
    }

    /// The error is the reason why an instance cannot be started; nothing where nobody is to
    /// blame and the action is tried again.
    async fn carry_out(&self, action: &Action, target: &NodeTarget) -> Result<(), Option<Reason>> {
        let find = |id: &InstanceId| target.instances.iter().find(|i| i.id == *id).ok_or(None);
        let result = match action {
            Action::Launch(id) => {
                return self.launch(find(id)?, target.position.generation).await;
            }
            Action::Start(_, container) => return self.start(container).await,
            Action::Settle(id, container) => self.engine.settle(container, find(id)?.limits).await,
            Action::Pause(container) => self.engine.pause(container).await,
            Action::Unpause(container) => self.engine.unpause(container).await,
            Action::Terminate(container) => self.engine.terminate(container).await,
            Action::Kill(container) => self.engine.kill(container).await,
            Action::Remove(container) => self.engine.remove(container).await,
            Action::RemoveImage(image) if self.is_wanted(image) => Ok(()),
            Action::RemoveImage(image) => self.engine.remove_image(image).await,
        };
        result.map_err(|error| {
            tracing::warn!(error = chain(&error), ?action, "an action failed; it is tried again");
            None
        })
    }

    /// Whether the newest target lists the image, or a build that may make it again.
    fn is_wanted(&self, image: &str) -> bool {
        self.targets.borrow().as_ref().is_none_or(|target| {
            !target.builds.is_empty()
                || target.keep_images.iter().any(|kept| kept == image)
                || target.instances.iter().any(|instance| instance.image == image)
        })
    }

    /// Creates and starts.
    async fn launch(
        &self,
        instance: &InstanceTarget,
        generation: i64,
    ) -> Result<(), Option<Reason>> {
        let variables = variables::open(&self.key, instance)
            .map_err(|text| Some(Reason::new("variables_unreadable", text)))?;
        let owner = self.engine.owner();
        let specification = Specification {
            name: format!("zw-{}-{}", owner.installation, instance.id),
            hostname: instance.id.to_string().replace('_', "-"),
            image: instance.image.clone(),
            command: instance.command.clone(),
            environment: variables::environment(instance, variables),
            labels: owner.instance_labels(instance, generation),
            network: self.network.clone(),
            address: instance.address,
            names: instance.names.clone(),
            limits: instance.limits,
            cores: cores(),
        };
        match self.engine.create(&specification).await {
            Ok(container) => self.start(&container).await,
            // The names are ours alone: an agent that was killed has just made it. The next look
            // shows it.
            Err(EngineError::Conflict(_)) => Err(None),
            Err(EngineError::Absent(_)) => {
                let text = format!("its image {} is not on this node", instance.image);
                Err(Some(Reason::new("image_missing", text)))
            }
            Err(error) => Err(refusal(error)),
        }
    }

    async fn start(&self, container: &str) -> Result<(), Option<Reason>> {
        self.engine.start(container).await.map_err(refusal)
    }
}

fn refusal(error: EngineError) -> Option<Reason> {
    match error {
        EngineError::Refused(text) => {
            Some(Reason::new("start_failed", format!("it cannot be started: {}", plain(&text))))
        }
        other => {
            tracing::warn!(error = chain(&other), "a start failed; it is tried again");
            None
        }
    }
}

/// The part of the engine's text that says something to people.
fn plain(text: &str) -> &str {
    let text = text.rsplit_once("starting container process caused: ").map_or(text, |(_, t)| t);
    text.trim().trim_end_matches(": unknown")
}

fn key_of(action: &Action) -> String {
    match action {
        Action::Launch(id) | Action::Start(id, _) => id.to_string(),
        Action::Settle(_, id)
        | Action::Pause(id)
        | Action::Unpause(id)
        | Action::Terminate(id)
        | Action::Kill(id)
        | Action::Remove(id)
        | Action::RemoveImage(id) => id.clone(),
    }
}
