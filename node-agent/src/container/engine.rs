//! The engine's calls, each with a time limit and lenient about answers of other versions.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, ImageSummary};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    ListImagesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};

use super::labels::{INSTANCE, Owner};
use super::specification::{Specification, settle_body};
use super::{Container, ContainerState};
use zeitwork_model::environment::Limits;

/// An engine that does not answer for so long hangs. A start waits for networking of other
/// starts, so this is generous.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A list that takes longer is that of an engine that hangs.
const SMALL_CALL: Duration = Duration::from_secs(5);

/// What a call of the engine ended with.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It cannot be reached; try again later.
    #[error("docker engine at {host} does not answer: {text}")]
    Away {
        /// Where it should be.
        host: String,
        /// What happened.
        text: String,
    },
    /// What the call is about does not exist.
    #[error("{0}")]
    Absent(String),
    /// It is already so, or something else is under way.
    #[error("{0}")]
    Conflict(String),
    /// The engine refuses.
    #[error("docker engine refused: {0}")]
    Refused(String),
}

/// One engine, connected when first used.
#[derive(Debug)]
pub struct Engine {
    host: String,
    owner: Owner,
    docker: Mutex<Option<Docker>>,
    /// Inspections by container, valid while the engine lists the same state for it.
    inspected: Mutex<HashMap<String, Container>>,
}

impl Engine {
    /// The engine at `host` (`unix://…` or `tcp://…`), seen as `owner`.
    #[must_use]
    pub fn new(host: String, owner: Owner) -> Self {
        Self { host, owner, docker: Mutex::default(), inspected: Mutex::default() }
    }

    /// Whose containers this sees.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Where the engine is, as `DOCKER_HOST` says it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The connection, made now if there was none.
    ///
    /// # Errors
    /// [`EngineError::Away`] while there is no socket.
    pub fn docker(&self) -> Result<Docker, EngineError> {
        let mut slot = self.docker.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(docker) = slot.as_ref() {
            return Ok(docker.clone());
        }
        let docker = Docker::connect_with_host(&self.host)
            .map_err(|error| self.away(&error))?
            .with_timeout(TIMEOUT);
        Ok(slot.insert(docker).clone())
    }

    /// The error of an engine that does not answer in time.
    #[must_use]
    pub fn silent(&self) -> EngineError {
        EngineError::Away { host: self.host.clone(), text: "no answer in time".to_owned() }
    }

    fn away(&self, error: &dyn std::error::Error) -> EngineError {
        EngineError::Away { host: self.host.clone(), text: chain(error) }
    }

    /// The engine's error as what the caller can do about it.
    pub fn error(&self, error: bollard::errors::Error) -> EngineError {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code, message } => match status_code {
                404 => EngineError::Absent(message),
                304 | 409 => EngineError::Conflict(message),
                _ => EngineError::Refused(message),
            },
            other => self.away(&other),
        }
    }

    /// The engine's version.
    ///
    /// # Errors
    /// [`EngineError::Away`] while it does not answer.
    pub async fn version(&self) -> Result<String, EngineError> {
        let version = self.docker()?.version().await.map_err(|error| self.error(error))?;
        Ok(version.version.unwrap_or_default())
    }

    /// Every container of ours.
    ///
    /// # Errors
    /// [`EngineError::Away`] while the engine does not answer.
    pub async fn list(&self) -> Result<Vec<Container>, EngineError> {
        let filters = HashMap::from([("label", self.owner.filters())]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let docker = self.docker()?;
        let listed =
            docker.list_containers(Some(options)).await.map_err(|error| self.error(error))?;
        let mut containers = Vec::with_capacity(listed.len());
        for summary in listed {
            let Some(id) = summary.id else { continue };
            let labels = summary.labels.unwrap_or_default();
            let state = summary.state.map(|state| state.to_string()).unwrap_or_default();
            match self.known(&id, state_of(&state)) {
                Some(container) => containers.push(container),
                None => match docker.inspect_container(&id, None).await {
                    Ok(inspected) => containers.push(self.keep(observed(id, inspected))),
                    Err(error) => match self.error(error) {
                        EngineError::Absent(_) => {}
                        // One that the engine cannot show must not hide the others.
                        EngineError::Refused(text) => {
                            containers.push(unreadable(id, &labels, text));
                        }
                        other => return Err(other),
                    },
                },
            }
        }
        self.forget_others(&containers);
        Ok(containers)
    }

    fn known(&self, id: &str, state: ContainerState) -> Option<Container> {
        let inspected = self.inspected.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        inspected.get(id).filter(|container| container.state == state).cloned()
    }

    fn keep(&self, container: Container) -> Container {
        if container.state != ContainerState::Changing {
            let mut inspected =
                self.inspected.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            inspected.insert(container.id.clone(), container.clone());
        }
        container
    }

    /// Forgets what is known of a container, because something was done to it.
    pub fn forget(&self, id: &str) {
        self.inspected.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(id);
    }

    fn forget_others(&self, containers: &[Container]) {
        let mut inspected =
            self.inspected.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        inspected.retain(|id, _| containers.iter().any(|container| container.id == *id));
    }

    /// Creates the container; its id. One of the same name is an error ([`EngineError::Conflict`]).
    ///
    /// # Errors
    /// [`EngineError::Absent`] where the engine has no such image.
    pub async fn create(&self, specification: &Specification) -> Result<String, EngineError> {
        let options = CreateContainerOptionsBuilder::new().name(&specification.name).build();
        let created = self
            .docker()?
            .create_container(Some(options), specification.create_body())
            .await
            .map_err(|error| self.error(error))?;
        Ok(created.id)
    }

    /// Starts it; a running one is left as it is.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn start(&self, id: &str) -> Result<(), EngineError> {
        let result = self.docker()?.start_container(id, None).await;
        self.done(id, result)
    }

    /// Sends SIGTERM; the kernel's word for a process that is gone already is no error.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn terminate(&self, id: &str) -> Result<(), EngineError> {
        self.signal(id, "SIGTERM").await
    }

    /// Sends SIGKILL.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn kill(&self, id: &str) -> Result<(), EngineError> {
        self.signal(id, "SIGKILL").await
    }

    async fn signal(&self, id: &str, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        let result = self.docker()?.kill_container(id, Some(options)).await;
        self.done(id, result)
    }

    /// Freezes it.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn pause(&self, id: &str) -> Result<(), EngineError> {
        let result = self.docker()?.pause_container(id).await;
        self.done(id, result)
    }

    /// Thaws it.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn unpause(&self, id: &str) -> Result<(), EngineError> {
        let result = self.docker()?.unpause_container(id).await;
        self.done(id, result)
    }

    /// Gives it the CPU quota of a healthy instance.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn settle(&self, id: &str, limits: Limits) -> Result<(), EngineError> {
        let result = self.docker()?.update_container(id, settle_body(limits)).await;
        self.done(id, result)
    }

    /// Removes it with its anonymous volumes, whatever it does.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let result = self.docker()?.remove_container(id, Some(options)).await;
        self.done(id, result)
    }

    fn done(
        &self,
        id: &str,
        result: Result<(), bollard::errors::Error>,
    ) -> Result<(), EngineError> {
        self.forget(id);
        match result.map_err(|error| self.error(error)) {
            Ok(()) | Err(EngineError::Conflict(_) | EngineError::Absent(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Images that carry our installation's label.
    ///
    /// # Errors
    /// [`EngineError::Away`] while the engine does not answer.
    pub async fn images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        let label = format!("{}={}", super::labels::INSTALLATION, self.owner.installation);
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let docker = self.docker()?;
        let listed = tokio::time::timeout(SMALL_CALL, docker.list_images(Some(options))).await;
        listed.map_err(|_| self.silent())?.map_err(|error| self.error(error))
    }

    /// Removes an image with all its names, unless a container needs it.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn remove_image(&self, image: &str) -> Result<(), EngineError> {
        let removed = self.delete_image(image).await;
        if let Err(EngineError::Conflict(_)) = removed {
            // By its id it goes only while it has one name; an attempt at a build that was killed
            // at its end has left another. With the last name it goes.
            let inspected = self.docker()?.inspect_image(image).await;
            let names = inspected.map(|it| it.repo_tags).unwrap_or_default();
            for name in names.unwrap_or_default() {
                match self.delete_image(&name).await {
                    Ok(()) | Err(EngineError::Conflict(_)) => {}
                    other => return other,
                }
            }
            return Ok(());
        }
        removed
    }

    async fn delete_image(&self, name: &str) -> Result<(), EngineError> {
        let options = RemoveImageOptionsBuilder::new().force(false).build();
        match self.docker()?.remove_image(name, Some(options), None).await {
            Ok(_) => Ok(()),
            Err(error) => match self.error(error) {
                EngineError::Absent(_) => Ok(()),
                other => Err(other),
            },
        }
    }
}

fn state_of(word: &str) -> ContainerState {
    match word {
        "created" => ContainerState::Created,
        "running" => ContainerState::Running,
        "paused" => ContainerState::Paused,
        "exited" | "dead" => ContainerState::Exited,
        _ => ContainerState::Changing,
    }
}

fn unreadable(id: String, labels: &HashMap<String, String>, error: String) -> Container {
    let instance = labels.get(INSTANCE).and_then(|label| label.parse().ok());
    Container {
        id,
        instance,
        state: ContainerState::Changing,
        pid: 0,
        started_at: String::new(),
        exit_code: 0,
        oom_killed: false,
        error,
        cpu_quota: 0,
    }
}

fn observed(id: String, inspected: ContainerInspectResponse) -> Container {
    let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
    let state = inspected.state.unwrap_or_default();
    let status = state.status.unwrap_or(ContainerStateStatusEnum::EMPTY).to_string();
    Container {
        id,
        instance: labels.get(INSTANCE).and_then(|label| label.parse().ok()),
        state: state_of(&status),
        pid: state.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0),
        started_at: state.started_at.unwrap_or_default(),
        exit_code: state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(0),
        oom_killed: state.oom_killed.unwrap_or(false),
        error: state.error.unwrap_or_default(),
        cpu_quota: inspected.host_config.and_then(|host| host.cpu_quota).unwrap_or(0),
    }
}

/// An error with its sources, as one text.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}
