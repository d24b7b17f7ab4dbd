//! Carries out single actions beside the loop, which hears of their end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use zeitwork_model::id::InstanceId;
use zeitwork_model::reason::Reason;
use zeitwork_protocol::target::{InstanceTarget, NodeTarget};
use zeitwork_runtime::failpoint::effect;
use zeitwork_runtime::lifecycle::Lifecycle;
use zeitwork_runtime::step;
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
    /// The instance that was to be started.
    pub instance: Option<InstanceId>,
    /// How it ended.
    pub outcome: Result<(), Failure>,
}

/// Why an action came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The instance cannot be started as it is: counts as a start that failed.
    Unfit(Reason),
    /// The engine did not do it, and the instance is not to blame: tried again.
    Engine(Reason),
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
            let outcome = work.carry_out(&action, &target).await;
            if matches!(outcome, Err(Failure::Engine(_))) {
                tokio::time::sleep(BRAKE).await;
            }
            let done = Done { key: busy, started, instance, outcome };
            // Nobody listens any more once the loop has ended.
            let _ = work.done.send(done);
        });
        key
    }

    async fn carry_out(&self, action: &Action, target: &NodeTarget) -> Result<(), Failure> {
        let find = |id: &InstanceId| {
            let gone = || Failure::Engine(Reason::new("outdated", "the target has changed"));
            target.instances.iter().find(|i| i.id == *id).ok_or_else(gone)
        };
        let result = match action {
            Action::Launch(id) => {
                return self.launch(find(id)?, target.position.generation).await;
            }
            Action::Start(_, container) => return self.start(container).await,
            Action::Settle(id, container) => {
                let limits = find(id)?.limits;
                effect(step!("instances.settle"), self.engine.settle(container, limits)).await
            }
            Action::Pause(id) => effect(step!("instances.pause"), self.engine.pause(id)).await,
            Action::Unpause(id) => {
                effect(step!("instances.unpause"), self.engine.unpause(id)).await
            }
            Action::Terminate(id) => {
                effect(step!("instances.terminate"), self.engine.terminate(id)).await
            }
            Action::Kill(id) => effect(step!("instances.kill"), self.engine.kill(id)).await,
            Action::Remove(id) => effect(step!("instances.remove"), self.engine.remove(id)).await,
            Action::RemoveImage(image) if self.is_wanted(image) => Ok(()),
            Action::RemoveImage(image) => {
                effect(step!("images.remove"), self.engine.remove_image(image)).await
            }
        };
        result.map_err(|error| {
            tracing::warn!(error = chain(&error), ?action, "an action failed; it is tried again");
            not_done(verb(action), &chain(&error))
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
    async fn launch(&self, instance: &InstanceTarget, generation: i64) -> Result<(), Failure> {
        let variables = variables::open(&self.key, instance)
            .map_err(|text| Failure::Unfit(Reason::new("variables_unreadable", text)))?;
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
        let create = self.engine.create(&specification);
        match effect(step!("instances.create"), create).await {
            Ok(container) => self.start(&container).await,
            // The names are ours alone: an agent that was killed has just made it, and the next
            // look shows it, unless its labels are not ours.
            Err(EngineError::Conflict(_)) => Err(Failure::Engine(Reason::new(
                "name_taken",
                format!("the engine has a container {} already; remove it", specification.name),
            ))),
            Err(EngineError::Absent(_)) => {
                let text = format!("its image {} is not on this node", instance.image);
                Err(Failure::Unfit(Reason::new("image_missing", text)))
            }
            Err(error) => Err(refusal(error)),
        }
    }

    async fn start(&self, container: &str) -> Result<(), Failure> {
        let start = self.engine.start(container);
        effect(step!("instances.start"), start).await.map_err(refusal)
    }
}

fn refusal(error: EngineError) -> Failure {
    match error {
        EngineError::Refused(text) => {
            let text = format!("it cannot be started: {}", plain(&text));
            Failure::Unfit(Reason::new("start_failed", text))
        }
        other => {
            tracing::warn!(error = chain(&other), "a start failed; it is tried again");
            not_done("started", &chain(&other))
        }
    }
}

fn not_done(what: &str, error: &str) -> Failure {
    let text = format!("it was not {what}, which is tried again: {}", plain(error));
    Failure::Engine(Reason::new("engine_failed", text))
}

/// What was to become of the instance.
fn verb(action: &Action) -> &'static str {
    match action {
        Action::Launch(_) | Action::Start(..) => "started",
        Action::Settle(..) => "given its CPU quota",
        Action::Pause(_) => "paused",
        Action::Unpause(_) => "thawed",
        Action::Terminate(_) | Action::Kill(_) => "stopped",
        Action::Remove(_) | Action::RemoveImage(_) => "removed",
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
