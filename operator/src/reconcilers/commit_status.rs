//! Tells GitHub how the deployments of its commits do. Nothing waits for it: what cannot be told
//! is told later, or never.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeitwork_database::views::commit_status::{self as views, Untold};
use zeitwork_model::deployment::DeploymentStatus;
use zeitwork_model::id::DeploymentId;
use zeitwork_runtime::{PassReport, Reconciler, effect, step};

use super::sources::note_refusal;
use crate::github::{Github, GithubError, Status, StatusState};
use crate::waits::Waits;
use crate::{Error, World};

#[cfg(test)]
mod tests;

/// GitHub's secondary limit is 80 requests a minute that create content.
const PER_MINUTE: usize = 80;
const MINUTE: Duration = Duration::from_mins(1);
/// Deployments looked at in one pass.
const BATCH: i64 = 20;
/// The longest wait of one that was refused for now.
const CAP: Duration = Duration::from_mins(5);
/// What GitHub takes.
const DESCRIPTION_MAXIMUM: usize = 140;
/// Written instead of a state where GitHub will never take it.
const REFUSED: &str = "refused";

/// The reconciler.
#[derive(Debug)]
pub struct CommitStatus {
    world: Arc<World>,
    /// When the calls of the last minute were made.
    calls: VecDeque<Instant>,
    waits: Waits<DeploymentId, DeploymentStatus>,
}

impl CommitStatus {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        Self { world: Arc::clone(world), calls: VecDeque::new(), waits: Waits::new(CAP) }
    }

    /// How long until another call may be made; none: now.
    fn pause(&mut self) -> Option<Duration> {
        let now = Instant::now();
        while self.calls.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            self.calls.pop_front();
        }
        if self.calls.len() < PER_MINUTE {
            return None;
        }
        self.calls.front().map(|at| MINUTE.saturating_sub(now.duration_since(*at)))
    }

    /// Whether GitHub knows now, or never will.
    async fn tell(&mut self, github: &Github, untold: &Untold) -> Result<bool, Error> {
        self.calls.push_back(Instant::now());
        let public_url = self.world.outside.public_url.as_deref();
        let target = public_url.map(|url| format!("{url}/api/v1/deployments/{}", untold.id));
        let context = format!("zeitwork/{}", untold.environment);
        let description = description(untold);
        let state = state(untold.status);
        let status = Status {
            state,
            target_url: target.as_deref(),
            description: &description,
            context: &context,
        };
        let (installation, repository) = (untold.installation_id, &untold.repository);
        let sent = github.create_status(installation, repository, &untold.commit_sha, &status);
        let told = match effect(step!("commit_status.tell"), sent).await {
            Ok(()) => state.as_str(),
            Err(GithubError::Refused { .. }) => REFUSED,
            Err(error) => {
                // A repository that is not found may be a commit that is not, too.
                if !matches!(error, GithubError::NotFound) {
                    note_refusal(&self.world, installation, &error).await?;
                }
                self.waits.put_off(untold.id, untold.status, error.asked_wait());
                return Ok(false);
            }
        };
        let mut connection = self.world.database.acquire().await?;
        effect(step!("commit_status.note"), views::told(&mut connection, untold, told)).await?;
        Ok(true)
    }
}

/// In GitHub's four words.
const fn state(status: DeploymentStatus) -> StatusState {
    match status {
        DeploymentStatus::Queued | DeploymentStatus::Building | DeploymentStatus::Starting => {
            StatusState::Pending
        }
        DeploymentStatus::Live | DeploymentStatus::Retired => StatusState::Success,
        DeploymentStatus::Failed => StatusState::Failure,
        DeploymentStatus::Superseded | DeploymentStatus::Cancelled | DeploymentStatus::Skipped => {
            StatusState::Error
        }
    }
}

fn description(untold: &Untold) -> String {
    let text = match (state(untold.status), &untold.reason_text) {
        (StatusState::Pending, _) => "The deployment is under way.",
        (StatusState::Success, _) => "The deployment is live.",
        (_, Some(reason)) => reason.as_str(),
        (_, None) => "The deployment has ended.",
    };
    text.chars().take(DESCRIPTION_MAXIMUM).collect()
}

impl Reconciler for CommitStatus {
    const NAME: &'static str = "commit_status";
    type Error = Error;

    async fn pass(&mut self) -> Result<PassReport, Error> {
        let mut report = PassReport::default();
        let Some(github) = self.world.outside.github.clone() else { return Ok(report) };
        // Those that wait are not asked for: they must not fill the batch.
        let waiting = self.waits.waiting();
        let mut connection = self.world.database.acquire().await?;
        let all = views::untold(&mut connection, &waiting, BATCH).await?;
        drop(connection);
        for untold in &all {
            if let Some(pause) = self.pause() {
                report.again_after = Some(pause);
                return Ok(report);
            }
            report.seen += 1;
            if self.tell(&github, untold).await? {
                report.changed += 1;
            } else {
                report.failed += 1;
                report.reasons.push(format!("{}: GitHub could not be told", untold.id));
            }
        }
        let is_full = i64::try_from(all.len()).is_ok_and(|found| found == BATCH);
        report.again_after = if is_full { Some(Duration::ZERO) } else { self.waits.next() };
        Ok(report)
    }
}
