//! Takes in what a node says of itself, its instances and its builds.

use zeitwork_database::steps::builds::{self, NewImage};
use zeitwork_database::steps::deployments::{self, Ready};
use zeitwork_database::steps::instances::{self, Observed};
use zeitwork_database::steps::nodes as steps;
use zeitwork_database::views::nodes::{self, Build, Instance, Node};
use zeitwork_database::{Error as DatabaseError, PgConnection};
use zeitwork_model::instance::{InstanceGoal, InstanceStatus};
use zeitwork_model::reason::Reason;
use zeitwork_planning::nodes::{Phase, Row, UNHEALTHY_FOR, status_after};
use zeitwork_protocol::report::{
    BuildOutcome, BuildReport, InstancePhase, InstanceReport, NodeReport,
};
use zeitwork_protocol::target::NodeTarget;
use zeitwork_runtime::failpoint::Step;
use zeitwork_runtime::{effect, step};

use crate::reconcilers::builds::fail;
use crate::target::Rows;
use crate::{Error, World, commit};

/// A lease of 15 s is renewed when it has less than this left: not with every report.
const RENEW_BELOW: time::Duration = time::Duration::seconds(12);

/// What a report came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    /// Rows that it has changed.
    pub(super) changed: u64,
    /// Instances and builds that it tells of and that were never this node's: not believed.
    pub(super) foreign: u64,
}

/// Takes in the newest report, if it was not yet.
pub(super) async fn take_in(
    world: &World,
    connection: &mut PgConnection,
    node: &Node,
    rows: &Rows,
) -> Result<Option<Taken>, Error> {
    let (Some(document), Some(reported_at)) = (&node.report, node.reported_at) else {
        return Ok(None);
    };
    // Another time, not a later one: the database's clock may have been set back.
    if node.taken_in_at == Some(reported_at) {
        return Ok(None);
    }
    let report: NodeReport = serde_json::from_value(document.clone())?;
    if report.minimum_reader > zeitwork_protocol::READER {
        return Err(Error::Unfit("the node is newer than this operator: update it".into()));
    }
    let written = node.written();
    let mut changed = 0;
    for row in &rows.instances {
        changed += take_in_instance(connection, row, &report, written.as_ref()).await?;
    }
    for said in &report.builds {
        let of_ours = |b: &&Build| b.id == said.id && b.attempt == said.attempt;
        if let Some(row) = rows.builds.iter().find(of_ours) {
            changed += take_in_build(world, row, node, said, reported_at).await?;
        }
    }
    changed += see_images(connection, node, &report, reported_at).await?;
    note_usage(connection, rows, &report).await?;
    // Last: whatever failed before is looked at again.
    let (host, problems) = (&report.host, &report.problems);
    let taken = steps::take_in(connection, node.id, host, problems, reported_at);
    effect(step!("nodes.take_in"), taken).await?;
    let foreign = foreign(connection, node, &report).await?;
    Ok(Some(Taken { changed, foreign }))
}

/// What is told of and not of this node: another's, or nobody's.
async fn foreign(
    connection: &mut PgConnection,
    node: &Node,
    report: &NodeReport,
) -> Result<u64, Error> {
    let instances: Vec<_> = report.instances.iter().map(|said| said.id).collect();
    let builds: Vec<_> = report.builds.iter().map(|said| (said.id, said.attempt)).collect();
    Ok(nodes::foreign(connection, node.id, &instances, &builds).await?)
}

async fn take_in_instance(
    connection: &mut PgConnection,
    row: &Instance,
    report: &NodeReport,
    written: Option<&NodeTarget>,
) -> Result<u64, Error> {
    let current = is_current(row, report, written);
    let Some(said) = report.instances.iter().find(|i| i.id == row.id) else {
        // A node that was told to stop it and does not have it has nothing left to stop; one that
        // was never told of it has nothing at all.
        let told = written.is_none_or(|target| target.instances.iter().any(|i| i.id == row.id));
        let never = !told && written.map(|target| target.position) == report.applied;
        if row.goal == InstanceGoal::Stop && (current || never) {
            let gone = observed(row, InstanceStatus::Stopped, None);
            return write(connection, row, &gone).await;
        }
        return Ok(0);
    };
    let restarts = i32::try_from(said.restarts).unwrap_or(i32::MAX);
    let known = Row {
        status: row.status,
        goal: row.goal,
        was_healthy: row.was_healthy,
        restarted: restarts > row.restarts,
    };
    let next = status_after(known, phase(said.phase), current);
    let status = next.unwrap_or(row.status);
    let reason = match (status, &said.reason) {
        (InstanceStatus::Healthy | InstanceStatus::Draining | InstanceStatus::Stopped, _) => None,
        (InstanceStatus::Failed, None) => Some(unexplained(said)),
        (_, reason) => reason.clone(),
    };
    let same_reason = reason.as_ref().map(|r| (r.code.as_str(), r.text.as_str()))
        == row.reason_code.as_deref().zip(row.reason_text.as_deref());
    if next.is_none() && same_reason && restarts == row.restarts {
        return Ok(0);
    }
    let seen = Observed {
        restarts,
        exit_code: said.exit_code,
        oom_killed: said.oom_killed,
        ..observed(row, status, reason.as_ref())
    };
    write(connection, row, &seen).await
}

/// The node works on the target that holds this instance's present goal.
fn is_current(row: &Instance, report: &NodeReport, written: Option<&NodeTarget>) -> bool {
    written.is_some_and(|target| {
        report.applied == Some(target.position)
            && target.instances.iter().any(|i| i.id == row.id && i.goal == row.goal)
    })
}

fn observed<'a>(
    row: &Instance,
    status: InstanceStatus,
    reason: Option<&'a Reason>,
) -> Observed<'a> {
    Observed {
        from: row.status,
        status,
        reason,
        restarts: row.restarts,
        exit_code: None,
        oom_killed: false,
        unhealthy_seconds: UNHEALTHY_FOR.as_seconds_f64(),
    }
}

fn unexplained(said: &InstanceReport) -> Reason {
    let text = match said.exit_code {
        Some(code) => format!("the process ended with exit code {code}"),
        None => "the node gave it up without saying why".into(),
    };
    Reason::new("exited", text)
}

async fn write(
    connection: &mut PgConnection,
    row: &Instance,
    seen: &Observed<'_>,
) -> Result<u64, Error> {
    let observe = instances::observe(connection, row.id, seen);
    match effect(step!("nodes.observe"), observe).await {
        Ok(()) => {
            tracing::debug!(instance.id = %row.id, instance.status = %seen.status, "observed");
            Ok(1)
        }
        // The next pass sees both.
        Err(DatabaseError::Stale(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

const fn phase(phase: InstancePhase) -> Phase {
    match phase {
        InstancePhase::Waiting => Phase::Waiting,
        InstancePhase::Starting => Phase::Starting,
        InstancePhase::Healthy => Phase::Healthy,
        InstancePhase::Unhealthy => Phase::Unhealthy,
        InstancePhase::Stopped => Phase::Stopped,
        InstancePhase::Failed => Phase::Failed,
        InstancePhase::Paused | InstancePhase::Stopping | InstancePhase::Unknown => Phase::Other,
    }
}

async fn take_in_build(
    world: &World,
    row: &Build,
    node: &Node,
    said: &BuildReport,
    reported_at: time::OffsetDateTime,
) -> Result<u64, Error> {
    let mut transaction = world.database.begin().await?;
    let outcome = apply_outcome(&mut transaction, row, node, &said.outcome, reported_at).await;
    match outcome {
        Ok(changed) => {
            commit(step_of(&said.outcome), transaction).await?;
            Ok(changed)
        }
        Err(Error::Database(DatabaseError::Stale(_))) => Ok(0),
        Err(error) => Err(error),
    }
}

const fn step_of(outcome: &BuildOutcome) -> Step {
    match outcome {
        BuildOutcome::Running { .. } => step!("nodes.build_goes_on"),
        BuildOutcome::Succeeded { .. } => step!("nodes.build_succeeded"),
        BuildOutcome::Failed { .. } => step!("nodes.build_failed"),
        BuildOutcome::Lost { .. } => step!("nodes.build_lost"),
    }
}

async fn apply_outcome(
    connection: &mut PgConnection,
    row: &Build,
    node: &Node,
    outcome: &BuildOutcome,
    reported_at: time::OffsetDateTime,
) -> Result<u64, Error> {
    let holder = (node.id, row.attempt);
    match outcome {
        BuildOutcome::Running { step } => {
            let left = row.lease_until.map(|until| until - reported_at);
            if row.step.as_ref() == Some(step) && left.is_some_and(|left| left > RENEW_BELOW) {
                return Ok(0);
            }
            builds::renew(connection, row.id, holder, step, reported_at).await?;
        }
        BuildOutcome::Succeeded { image, size_bytes, platform, exposed_ports } => {
            let ports: Vec<i32> = exposed_ports.iter().map(|&port| i32::from(port)).collect();
            let new = NewImage {
                engine_image: image,
                size_bytes: i64::try_from(*size_bytes).unwrap_or(i64::MAX),
                platform,
                exposed_ports: &ports,
            };
            deployments::lock_environments(connection, row.id).await?;
            let image = builds::succeed(connection, row.id, holder, new).await?;
            for deployment in deployments::start(connection, Ready::Of(row.id), image).await? {
                let text = "The image is built.";
                deployment.journal(connection, "deployment.starting", text).await?;
            }
        }
        BuildOutcome::Failed { reason } => {
            fail(connection, row.id, row.attempt, reason).await?;
        }
        BuildOutcome::Lost { reason } => lose(connection, row, reason).await?,
    }
    Ok(1)
}

/// The node could not: another attempt may.
async fn lose(connection: &mut PgConnection, row: &Build, reason: &Reason) -> Result<(), Error> {
    if row.attempt < row.maximum_attempts {
        builds::requeue(connection, row.id, row.attempt).await?;
        return Ok(());
    }
    let text = format!("{} (in the last of {} attempts)", reason.text, row.attempt);
    fail(connection, row.id, row.attempt, &Reason::new(&reason.code, text)).await
}

/// Takes in which images it has, once it has listed them.
async fn see_images(
    connection: &mut PgConnection,
    node: &Node,
    report: &NodeReport,
    reported_at: time::OffsetDateTime,
) -> Result<u64, Error> {
    let ago = report.images_listed_ms_ago.and_then(|ms| i64::try_from(ms).ok());
    let ago = ago.map(time::Duration::milliseconds);
    let Some(listed_at) = ago.and_then(|ago| reported_at.checked_sub(ago)) else { return Ok(0) };
    let images: Vec<String> = report.images.iter().map(|it| it.image.clone()).collect();
    let see = steps::see_images(connection, node.id, &images, listed_at);
    Ok(effect(step!("nodes.see_images"), see).await?)
}

async fn note_usage(
    connection: &mut PgConnection,
    rows: &Rows,
    report: &NodeReport,
) -> Result<(), Error> {
    let (mut ids, mut usages) = (Vec::new(), Vec::new());
    for said in &report.instances {
        // What is of another node, or of none, is no business of this one's.
        let ours = rows.instances.iter().any(|row| row.id == said.id);
        if let Some(usage) = said.usage.filter(|_| ours) {
            ids.push(said.id);
            usages.push(serde_json::to_value(usage)?);
        }
    }
    if !ids.is_empty() {
        let note = instances::note_usage(connection, &ids, &usages);
        effect(step!("nodes.note_usage"), note).await?;
    }
    Ok(())
}
