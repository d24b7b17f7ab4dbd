//! Composes what one node shall run and build.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use secrecy::ExposeSecret;
use zeitwork_database::steps::instances::Observed;
use zeitwork_database::views::nodes::{self, Build, Instance, Node};
use zeitwork_database::{PgConnection, steps};
use zeitwork_model::environment::Limits;
use zeitwork_model::generation::Position;
use zeitwork_model::instance::{InstanceGoal, InstanceStatus};
use zeitwork_model::project::SourceKind;
use zeitwork_model::reason::Reason;
use zeitwork_protocol::sealed::Sealed;
use zeitwork_protocol::target::{BuildTarget, InstanceTarget, NodeTarget};
use zeitwork_runtime::lifecycle::chain;
use zeitwork_runtime::{effect, step};
use zeitwork_secrets::PublicKey;

use crate::reconcilers::builds::fail;
use crate::reconcilers::unavailable;
use crate::seal::{self, Wanted};
use crate::{Error, World, commit, source};

/// A build is killed after 20 minutes.
pub(crate) const BUILD_TIMEOUT_SECONDS: u32 = 1_200;
/// What a build may use: two cores, so that small hosts stay usable, and memory for a compiler.
const BUILD_LIMITS: Limits = Limits { cpu_millis: 2_000, memory_mb: 2_048 };
/// 1 GiB of checkout; larger repositories need a shallow directory.
const CHECKOUT_BYTES: u64 = 1 << 30;
/// Between SIGTERM and SIGKILL; nothing is in flight any more when SIGTERM is sent.
const STOP_GRACE_MS: u32 = 10_000;
/// The same for an instance that was never healthy: it has no visitor and nothing to finish, and a
/// cancel ends what it cancels within two seconds.
const UNSERVED_GRACE_MS: u32 = 500;

/// Longest wait for a token of GitHub's, which is usually at hand.
pub(crate) const TOKEN_LIMIT: Duration = Duration::from_secs(5);

/// The rows that a target is made of.
pub(crate) struct Rows {
    pub(crate) instances: Vec<Instance>,
    pub(crate) builds: Vec<Build>,
    pub(crate) kept_images: Vec<String>,
}

impl Rows {
    pub(crate) async fn read(connection: &mut PgConnection, node: &Node) -> Result<Self, Error> {
        Ok(Self {
            instances: nodes::instances(connection, node.id).await?,
            builds: nodes::builds(connection, node.id).await?,
            kept_images: nodes::kept_images(connection, node.id).await?,
        })
    }
}

/// The node's next target, or none where the written one says the same. Sealed values are taken
/// over from the written one: sealing again would make equal targets differ.
pub(crate) async fn next(
    world: &World,
    connection: &mut PgConnection,
    node: &Node,
    rows: Rows,
    epoch: i64,
) -> Result<Option<NodeTarget>, Error> {
    let written = node.written();
    let key = public_key(node)?;
    let mut composer = Composer { world, connection, key, written: written.as_ref() };
    let mut instances = Vec::new();
    // One that cannot be composed must not keep the node from all the others.
    for row in &rows.instances {
        match composer.instance(row).await {
            Ok(target) => instances.extend(target),
            Err(error) => give_up_instance(composer.connection, row, error).await?,
        }
    }
    let mut builds = Vec::new();
    for row in rows.builds.iter().filter(|b| !b.cancel_requested) {
        match composer.build(row).await {
            Ok(target) => builds.extend(target),
            Err(error) => give_up_build(world, row, error).await?,
        }
    }
    // The node has seen what the database has forgotten: it was set back. Nothing but a newer
    // target is heard.
    let ahead = node.applied().filter(|applied| applied.epoch == epoch);
    let ahead = ahead.map_or(0, |applied| applied.generation);
    let known = match node.epoch.zip(node.generation) {
        Some((old, generation)) if old == epoch => generation,
        _ => 0,
    };
    let is_ahead = ahead > known;
    let generation = known.max(ahead).saturating_add(1);
    let target = NodeTarget {
        version: zeitwork_protocol::VERSION,
        minimum_reader: 1,
        position: Position { epoch, generation },
        instances,
        builds,
        keep_images: rows.kept_images,
    };
    let same = !is_ahead
        && written.is_some_and(|old| {
            old.position.epoch == epoch
                && old.instances == target.instances
                && old.builds == target.builds
                && old.keep_images == target.keep_images
        });
    Ok((!same).then_some(target))
}

/// Ends an instance that cannot be composed; what the database or another operator keeps from it
/// is tried again.
async fn give_up_instance(
    connection: &mut PgConnection,
    row: &Instance,
    error: Error,
) -> Result<(), Error> {
    let reason = unreadable(error)?;
    let gone = Observed {
        from: row.status,
        status: InstanceStatus::Failed,
        reason: Some(&reason),
        restarts: row.restarts,
        exit_code: None,
        oom_killed: false,
        unhealthy_seconds: 0.0,
    };
    let observed = steps::instances::observe(connection, row.id, &gone);
    effect(step!("nodes.give_up_instance"), observed).await?;
    Ok(())
}

/// The same for a build.
async fn give_up_build(world: &World, row: &Build, error: Error) -> Result<(), Error> {
    let reason = unreadable(error)?;
    let mut transaction = world.database.begin().await?;
    fail(&mut transaction, row.id, row.attempt, &reason).await?;
    commit(step!("nodes.give_up_build"), transaction).await
}

/// Why values cannot be handed out; errors that say nothing about them are handed back.
fn unreadable(error: Error) -> Result<Reason, Error> {
    if matches!(error, Error::Database(_)) {
        return Err(error);
    }
    let text = format!("its variables cannot be opened: {}", chain(&error));
    Ok(Reason::new("variables_unreadable", text))
}

fn public_key(node: &Node) -> Result<PublicKey, Error> {
    let bytes: [u8; 32] = node
        .public_key
        .as_slice()
        .try_into()
        .map_err(|_| Error::Unfit(format!("{} has no X25519 key", node.id)))?;
    Ok(PublicKey::from_bytes(bytes))
}

/// Known only at the end: a running instance's target does not change when it becomes healthy.
fn stop_grace_ms(row: &Instance) -> u32 {
    let unserved = row.goal == InstanceGoal::Stop && !row.was_healthy;
    if unserved { UNSERVED_GRACE_MS } else { STOP_GRACE_MS }
}

/// GitHub gives no token now.
struct Unavailable;

struct Composer<'a> {
    world: &'a World,
    connection: &'a mut PgConnection,
    key: PublicKey,
    written: Option<&'a NodeTarget>,
}

impl Composer<'_> {
    /// None for an instance whose image is not on the node, or that shall stop before the node
    /// ever heard of it: there is nothing to start.
    async fn instance(&mut self, row: &Instance) -> Result<Option<InstanceTarget>, Error> {
        let (Some(image), Some(commit)) = (&row.engine_image, &row.commit_sha) else {
            return Ok(None);
        };
        let (Some(address), Ok(port)) = (v4(row), u16::try_from(row.port)) else {
            return Ok(None);
        };
        let written = self.written.is_some_and(|t| t.instances.iter().any(|i| i.id == row.id));
        if row.goal == InstanceGoal::Stop && !written {
            return Ok(None);
        }
        let settings = row.configuration.0.get(&row.process).cloned().unwrap_or_default();
        let label = row.label.as_deref().unwrap_or("app");
        Ok(Some(InstanceTarget {
            id: row.id,
            organisation: row.organisation_id,
            project: row.project_id,
            environment: row.environment_id,
            deployment: row.deployment_id,
            process: row.process.clone(),
            commit: commit.clone(),
            goal: row.goal,
            image: image.clone(),
            command: settings.command,
            address,
            port,
            names: vec![format!("{}.{label}.internal", row.process)],
            health: settings.health,
            limits: settings.limits,
            stop_grace_ms: stop_grace_ms(row),
            variables: self.instance_variables(row).await?,
        }))
    }

    async fn instance_variables(&mut self, row: &Instance) -> Result<Sealed, Error> {
        let fingerprint = self.key.fingerprint();
        let written = self.written.and_then(|t| t.instances.iter().find(|i| i.id == row.id));
        if let Some(written) = written.filter(|i| i.variables.key == fingerprint) {
            return Ok(written.variables.clone());
        }
        let wanted = Wanted {
            organisation: row.organisation_id,
            project: row.project_id,
            set: Some(row.variable_set_id),
            at_build: false,
        };
        let context = row.id.to_string();
        seal::variables(self.world, self.connection, &wanted, &self.key, &context).await
    }

    /// None while GitHub gives no token to read the repository: what the node runs must not wait
    /// for GitHub. The build goes back into the queue, as if it had not been taken.
    async fn build(&mut self, row: &Build) -> Result<Option<BuildTarget>, Error> {
        let fingerprint = self.key.fingerprint();
        let written = self
            .written
            .and_then(|t| t.builds.iter().find(|b| b.id == row.id && b.attempt == row.attempt));
        if let Some(written) = written.filter(|b| b.variables.key == fingerprint) {
            return Ok(Some(written.clone()));
        }
        let context = row.id.to_string();
        let Ok(authorization) = self.authorization(row, &context).await? else {
            let reason = unavailable("GitHub gives no token at the moment.");
            let handed = steps::builds::hand_back(self.connection, row.id, row.attempt, &reason);
            effect(step!("nodes.hand_back"), handed).await?;
            return Ok(None);
        };
        let wanted = Wanted {
            organisation: row.organisation_id,
            project: row.project_id,
            set: row.variable_set_id,
            at_build: true,
        };
        let variables =
            seal::variables(self.world, self.connection, &wanted, &self.key, &context).await?;
        Ok(Some(BuildTarget {
            id: row.id,
            attempt: row.attempt,
            organisation: row.organisation_id,
            project: row.project_id,
            repository_url: source::repository_url(&self.world.config, row)?,
            commit: row.commit_sha.clone(),
            root_directory: row.root_directory.clone(),
            dockerfile: row.dockerfile.clone(),
            variables,
            authorization,
            timeout_seconds: BUILD_TIMEOUT_SECONDS,
            limits: BUILD_LIMITS,
            maximum_checkout_bytes: CHECKOUT_BYTES,
        }))
    }

    /// What lets the node read the repository, sealed to it; the inner error: not at the moment.
    async fn authorization(
        &self,
        row: &Build,
        context: &str,
    ) -> Result<Result<Option<Sealed>, Unavailable>, Error> {
        let github =
            self.world.outside.github.as_ref().filter(|_| row.source_kind == SourceKind::Github);
        let Some(((github, installation), repository)) =
            github.zip(row.installation_id).zip(row.repository_id)
        else {
            return Ok(Ok(None));
        };
        let asked = github.clone_authorization(installation, repository);
        match tokio::time::timeout(TOKEN_LIMIT, asked).await {
            Ok(Some(value)) => {
                Ok(Ok(Some(self.key.seal(value.expose_secret().as_bytes(), context)?)))
            }
            Ok(None) | Err(_) => Ok(Err(Unavailable)),
        }
    }
}

fn v4(row: &Instance) -> Option<Ipv4Addr> {
    match row.address?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}
